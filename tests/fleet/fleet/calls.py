# SPDX-License-Identifier: Apache-2.0
"""One call of the load: what was asked for, and what came of it. All times are this process's."""

import dataclasses
import hashlib
from typing import Optional


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the calls of a kind ask for, and what they may be given."""

    name: str
    keys: int
    options: dict
    age_s: float = 0.0       # how old a retained outcome may be
    key_lives_s: float = 0   # a key is used for so long, then another one takes its place
    fresh: bool = False


def kinds_of(lease_ms):
    """plain: no lease, so its leads end with the daemon. All others ask for a lease. kept: its
    outcomes outlive even a daemon that is killed, and are not replaced for as long. aged: it is
    the caller who says what is too old. fresh: nothing that was led before the call began."""
    lease = {"lease_ms": lease_ms}
    kept_ms = 20000
    return {kind.name: kind for kind in (
        Kind("plain", 3, {}),
        Kind("leased", 3, lease),
        Kind("kept", 2, {**lease, "retain_ms": kept_ms}, age_s=kept_ms / 1000, key_lives_s=1.0),
        Kind("aged", 3, {**lease, "retain_ms": 10000, "max_age_ms": 500}, age_s=0.5),
        Kind("fresh", 2, {**lease, "fresh": True}, fresh=True),
    )}


@dataclasses.dataclass
class Call:
    name: str
    client: str
    kind: Kind
    key: str
    began: float
    led: Optional[float] = None       # its function began
    lead_token: Optional[int] = None
    told: Optional[float] = None      # its function was told to end
    lost: Optional[float] = None      # its function heard that it had lost the lead
    ended: Optional[float] = None
    done: dict = dataclasses.field(default_factory=dict)
    error: str = ""                   # what came instead of a result

    @property
    def value(self):
        """What its function makes: nobody else makes that."""
        return f"{self.key} {self.name}".encode()

    @property
    def value_sha256(self):
        return hashlib.sha256(self.value).hexdigest()

    @property
    def token(self):
        return int(self.done.get("token") or 0)

    @property
    def role(self):
        if self.done.get("led"):
            return "leader"
        return "retained" if self.done.get("retained") else "follower"

    def take_done(self, event):
        self.done = event
        self.ended = event["came_at"]
        if event.get("status") != "OK":
            self.error = f"{event.get('status')}: {event.get('message', '')}"
        elif event.get("outcome") != "OK":
            self.error = f"outcome {event.get('outcome')}: {event.get('message', '')}"
        elif event.get("error_class"):
            self.error = f"{event['error_class']}: {event.get('message', '')}"

    def to_line(self, zero):
        """A row of --calls, in seconds since the load began."""
        def since(at):
            return None if at is None else round(at - zero, 4)

        return {"client": self.client, "call": self.name, "kind": self.kind.name, "key": self.key,
                "began": since(self.began), "led": since(self.led), "told": since(self.told),
                "lost": since(self.lost), "ended": since(self.ended),
                "role": "" if self.error else self.role, "lead_token": self.lead_token,
                "token": self.token, "value_sha256": self.done.get("value_sha256"),
                "age_ms": self.done.get("age_ms"), "error": self.error}
