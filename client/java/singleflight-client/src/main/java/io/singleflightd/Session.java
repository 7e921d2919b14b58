// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.singleflightd.grpc.v1.CallRequest;
import io.singleflightd.grpc.v1.CallResponse;
import io.singleflightd.grpc.v1.SessionRequest;
import io.singleflightd.grpc.v1.SessionResponse;
import io.singleflightd.grpc.v1.SingleFlightGrpc;
import java.util.ArrayDeque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** One Session stream. The loop's alone. */
final class Session {
  private static final int MESSAGE_BYTES_MIN = 1024 * 1024; // a message that is so full goes out
  private static final int MESSAGES_AHEAD = 16;

  final Server server;

  /** The server has taken a join on it. */
  boolean isUp;

  /** That of its callers; "": none. */
  final String token;

  private final Loop loop;
  private final ClientCall<SessionRequest, SessionResponse> stream;
  private final Map<Long, Line> lines = new LinkedHashMap<>();
  private final ArrayDeque<Line> ready = new ArrayDeque<>(); // have frames to send, in turn
  private long lastId;
  private boolean flushQueued;
  private boolean retired;
  private boolean halfClosed;
  private boolean over;

  Session(Server server, Loop loop, ManagedChannel channel, String token) {
    this.server = server;
    this.token = token;
    this.loop = loop;
    // Ready means that the message before is on its way; until then, frames gather.
    stream =
        channel.newCall(
            SingleFlightGrpc.getSessionMethod(), CallOptions.DEFAULT.withOnReadyThreshold(1));
  }

  void open() {
    stream.start(new Listener(), new Metadata());
    stream.request(MESSAGES_AHEAD);
  }

  private final class Listener extends ClientCall.Listener<SessionResponse> {
    @Override
    public void onMessage(SessionResponse message) {
      loop.execute(() -> onResponse(message));
      stream.request(1);
    }

    @Override
    public void onReady() {
      loop.execute(Session.this::queueFlush);
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      loop.execute(() -> onOver(status));
    }
  }

  // ---- lines ----

  /** Somebody on it waits for the server. */
  boolean isWanted() {
    return lines.values().stream().anyMatch(Line::isWanted);
  }

  boolean isRetired() {
    return retired;
  }

  /** Takes it on, with an id of its own, and has its frames sent. */
  void add(Line line) {
    put(line, ++lastId);
  }

  private void put(Line line, long id) {
    line.session = this;
    line.id = id;
    lines.put(id, line);
    ready(line);
  }

  /** Takes it off. Frames for its id are ignored from now on. */
  void remove(Line line) {
    takeOff(line);
    halfCloseIfIdle();
  }

  private void takeOff(Line line) {
    lines.remove(line.id);
    unready(line);
    line.session = null;
  }

  /** Puts `standIn` in the place of `line`, under the same id. */
  void replace(Line line, Line standIn) {
    takeOff(line);
    put(standIn, line.id);
  }

  /** It has frames to send: it gets its turn soon. */
  void ready(Line line) {
    if (!line.isReady) {
      line.isReady = true;
      ready.add(line);
    }
    queueFlush();
  }

  void unready(Line line) {
    if (line.isReady) {
      line.isReady = false;
      ready.remove(line);
    }
  }

  // ---- sending ----

  // What is ready by the end of the tasks at hand goes out together.
  private void queueFlush() {
    if (!flushQueued && !over) {
      flushQueued = true;
      loop.execute(this::flush);
    }
  }

  private void flush() {
    flushQueued = false;
    if (over || halfClosed) {
      return;
    }
    while (!ready.isEmpty() && stream.isReady()) {
      SessionRequest message = gather();
      if (message.getCallsCount() > 0) {
        stream.sendMessage(message);
      }
    }
  }

  /** One frame of each line in turn, until the message is full. */
  private SessionRequest gather() {
    SessionRequest.Builder message = SessionRequest.newBuilder();
    int size = 0;
    while (size < MESSAGE_BYTES_MIN && !ready.isEmpty()) {
      Line line = ready.remove();
      line.isReady = false;
      CallRequest frame = line.nextFrame();
      if (frame == null) {
        continue;
      }
      message.addCalls(frame);
      size += frame.getSerializedSize();
      if (line.hasMore()) {
        line.isReady = true;
        ready.add(line);
      }
    }
    return message.build();
  }

  // ---- ends ----

  /** Takes no new lines; ends with its last one. */
  void retire() {
    retired = true;
    server.onSessionRetired(this);
    halfCloseIfIdle();
  }

  private void halfCloseIfIdle() {
    if (retired && lines.isEmpty() && !halfClosed && !over) {
      halfClosed = true;
      stream.halfClose();
    }
  }

  /** Ends the stream now, whatever is under way. */
  void cut() {
    retire();
    if (!over) {
      halfClosed = true; // nothing may be said on a stream that was cancelled
      stream.cancel("the client ends the session", null);
    }
  }

  private void onResponse(SessionResponse message) {
    for (CallResponse frame : message.getCallsList()) {
      Line line = lines.get(frame.getId());
      if (line != null) {
        line.onFrame(frame);
      }
    }
  }

  private void onOver(Status status) {
    over = true;
    retired = true;
    server.onSessionOver(this, status);
    // What happens to one line may end others.
    for (Line line : List.copyOf(lines.values())) {
      if (line.session == this) {
        takeOff(line);
        line.onSessionOver(status);
      }
    }
  }
}
