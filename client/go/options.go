// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"

	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// Role says whether a caller may lead, or must.
type Role int32

const (
	// Any leads when it is told to, and follows otherwise. The default.
	Any Role = Role(pb.Role_ROLE_ANY)
	// LeadOnly ends with ABORTED at once when somebody else leads.
	LeadOnly Role = Role(pb.Role_ROLE_LEAD_ONLY)
	// FollowOnly ends with NOT_FOUND at once when there is nothing to follow. Its function may be
	// nil.
	FollowOnly Role = Role(pb.Role_ROLE_FOLLOW_ONLY)
)

// LeaderLoss says what becomes of the followers of a leader that was lost.
type LeaderLoss int32

const (
	// Promote lets the oldest follower run its function. The default.
	Promote LeaderLoss = LeaderLoss(pb.LeaderLoss_LEADER_LOSS_PROMOTE)
	// Fail ends every follower with ABORTED.
	Fail LeaderLoss = LeaderLoss(pb.LeaderLoss_LEADER_LOSS_FAIL)
	// Hold makes the loss the flight's outcome, of KindAbandoned, for every follower; it is kept as
	// WithRetainError says. For what may not be tried twice. Forget frees the key.
	Hold LeaderLoss = LeaderLoss(pb.LeaderLoss_LEADER_LOSS_HOLD)
)

// Option is an option of one call. Those marked (opener) hold for the flight as its first caller
// gave them; the others are each caller's own.
type Option func(*options)

// WithGroup names the group: a namespace of keys, at most 128 bytes of [A-Za-z0-9._-]. The default
// is "default".
func WithGroup(group string) Option { return func(o *options) { o.group = group } }

// WithRetain keeps an OK outcome for so long, for callers that come late. (opener)
func WithRetain(d time.Duration) Option {
	return func(o *options) { o.retainMs = o.ms("WithRetain", d) }
}

// WithRetainError does the same for every other outcome. (opener)
func WithRetainError(d time.Duration) Option {
	return func(o *options) { o.retainErrorMs = o.ms("WithRetainError", d) }
}

// WithRetainFromLead counts WithRetain, WithRetainError and [Leader.SetRetain] from when the leader
// was told to lead, and not from the end: for "at most once in an hour". (opener)
func WithRetainFromLead() Option { return func(o *options) { o.retainFromLead = true } }

// WithFresh joins no flight that was led before this call came, and takes no retained outcome: for
// who has just written, and must not get what was read before. While such a flight runs, all fresh
// callers wait for the next one together. Needs a daemon of now; an older one does not look at it.
func WithFresh() Option { return func(o *options) { o.fresh = true } }

// WithStale takes a retained OK outcome that is up to so old at once, also when it is older than
// WithMaxAge, and then refreshes it in the background: one refresh at a time, whose failure leaves
// the old outcome as it is. Without WithMaxAge whatever is retained counts as stale. Such a result
// has Stale set.
func WithStale(d time.Duration) Option { return func(o *options) { o.staleMs = o.ms("WithStale", d) } }

// WithMaxAge takes a retained outcome only if it is not older.
func WithMaxAge(d time.Duration) Option {
	return func(o *options) { o.maxAgeMs = o.ms("WithMaxAge", d) }
}

// WithLease lets the lead outlive a broken connection: who leads does so as long as its process
// renews the lease in time, which the client does by itself. One second to ten minutes. Without
// one, who leads does so as long as its connection holds. (opener)
func WithLease(d time.Duration) Option { return func(o *options) { o.leaseMs = o.ms("WithLease", d) } }

// WithRunLimit replaces a leader that runs longer. (opener)
func WithRunLimit(d time.Duration) Option {
	return func(o *options) { o.runLimitMs = o.ms("WithRunLimit", d) }
}

// WithLeaderLoss says what happens when the leader is lost. (opener)
func WithLeaderLoss(loss LeaderLoss) Option { return func(o *options) { o.leaderLoss = loss } }

// WithMaxAttempts bounds how many leaders the flight may have in all. (opener)
func WithMaxAttempts(n uint32) Option { return func(o *options) { o.maxAttempts = n } }

// WithRole says whether this caller may lead, or must.
func WithRole(role Role) Option { return func(o *options) { o.role = role } }

// WithLive hands out chunks while the leader still writes them: [Call.Chunks]. Such calls are never
// merged.
func WithLive() Option { return func(o *options) { o.live = true } }

// WithAudience lets the function learn who waits: [Leader.Audience].
func WithAudience() Option { return func(o *options) { o.audience = true } }

// WithFingerprint is a hash of the function's arguments, at most 64 bytes: the same key with
// another one is refused with FAILED_PRECONDITION. (opener)
func WithFingerprint(fingerprint []byte) Option {
	return func(o *options) { o.fingerprint = string(fingerprint) }
}

// WithCaller is the name in listings, instead of the client's: at most 128 bytes.
func WithCaller(caller string) Option { return func(o *options) { o.caller = caller } }

// WithResumeToken takes back the lead that this token was granted, with a lease, to a process that
// has ended since. What that had written stays; what is written now comes after it.
func WithResumeToken(token uint64) Option { return func(o *options) { o.resumeToken = token } }

// WithConnectTimeout bounds how long this call looks for a server, instead of the client's bound.
// Such a call tries even while every server is known to be down. 0: it does not wait, but takes what
// is connected.
func WithConnectTimeout(d time.Duration) Option {
	return func(o *options) {
		o.ms("WithConnectTimeout", d)
		o.connectTimeout = d
	}
}

// WithFailOpen says for this call what happens when no server can be reached, whatever the client
// says: run the function here, alone, or end with UNAVAILABLE.
func WithFailOpen(failOpen bool) Option { return func(o *options) { o.failOpen = failOpen } }

// WithLocalMerge(false) goes to the network in any case, instead of sharing the place of an equal
// call of this client. A shared call knows nothing of a Forget by another process.
func WithLocalMerge(merge bool) Option { return func(o *options) { o.noLocalMerge = !merge } }

// WithCodec turns the value into bytes and back; the default is [JSON]. No matter for [Client.Do]
// and [Client.Start], whose values are bytes.
func WithCodec(codec Codec) Option { return func(o *options) { o.codec = codec } }

// ms takes the duration of an option, which cannot be negative.
func (o *options) ms(option string, d time.Duration) uint64 {
	if d < 0 && o.misuse == nil {
		o.misuse = statusErrorf(codes.InvalidArgument, "%s: %v is negative", option, d)
	}
	return ms(d)
}

func ms(d time.Duration) uint64 {
	if d <= 0 {
		return 0
	}
	// Upwards: a bound of half a millisecond is not "none".
	return uint64((d + time.Millisecond - 1) / time.Millisecond)
}

// join is what equal calls have in common, and what the server is told.
type join struct {
	group, key    string
	role          Role
	live          bool
	audience      bool
	retainMs      uint64
	retainErrorMs uint64
	maxAgeMs      uint64
	leaseMs       uint64
	runLimitMs    uint64
	leaderLoss    LeaderLoss
	maxAttempts   uint32
	fingerprint   string
	caller        string
	resumeToken   uint64
	failOpen      bool
	noLocalMerge  bool

	retainFromLead bool
	fresh          bool
	staleMs        uint64
}

// options are those of one call.
type options struct {
	join
	connectTimeout time.Duration
	codec          Codec
	misuse         *StatusError // what an option was given that cannot be
}

const groupBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

const (
	// Far above what any server takes; it only keeps a message of ours below its bound. What lies
	// between is refused by the server, whose setting it is.
	keyBytesMax         = 64 * 1024
	groupBytesMax       = 128
	fingerprintBytesMax = 64
	leaseMsMin          = 1000
)

// problem is what cannot be, whatever the server's settings are.
func (o *options) problem() *StatusError {
	text := ""
	switch {
	case o.misuse != nil:
		return o.misuse
	case o.key == "":
		text = "the key is empty: a key has 1 to 1,024 bytes"
	case len(o.key) > keyBytesMax:
		text = "the key is too long: a key has 1 to 1,024 bytes"
	case len(o.group) > groupBytesMax || strings.Trim(o.group, groupBytes) != "":
		text = "WithGroup: the group is not at most 128 bytes of [A-Za-z0-9._-]"
	case len(o.caller) > callerBytesMax || !utf8.ValidString(o.caller):
		text = "WithCaller: the caller is not at most 128 bytes of UTF-8"
	case len(o.fingerprint) > fingerprintBytesMax:
		text = "WithFingerprint: the fingerprint is longer than 64 bytes"
	case o.leaseMs > 0 && o.leaseMs < leaseMsMin:
		text = "WithLease: a lease is 0 or at least 1 s"
	case o.role < Any || o.role > FollowOnly:
		text = "WithRole: the role is none of Any, LeadOnly and FollowOnly"
	case o.leaderLoss < Promote || o.leaderLoss > Hold:
		text = "WithLeaderLoss: the leader loss is none of Promote, Fail and Hold"
	default:
		return nil
	}
	return &StatusError{Code: codes.InvalidArgument, Message: text}
}

func (j *join) mergeable() bool {
	return j.role == Any && !j.live && j.resumeToken == 0 && !j.noLocalMerge
}

// toWire makes the message. With resumeToken only that token, group and key are looked at. Whoever
// may lead leads on when its own time is over: see seat.isWanted.
func (j *join) toWire(resumeToken uint64) *pb.Join {
	if resumeToken == 0 {
		resumeToken = j.resumeToken
	}
	wire := &pb.Join{
		Group:         j.group,
		Key:           []byte(j.key),
		Role:          pb.Role(j.role),
		Live:          j.live,
		Audience:      j.audience,
		Detach:        j.role != FollowOnly,
		RetainMs:      j.retainMs,
		RetainErrorMs: j.retainErrorMs,
		MaxAgeMs:      max(j.maxAgeMs, j.staleMs),
		LeaseMs:       j.leaseMs,
		RunLimitMs:    j.runLimitMs,
		OnLeaderLoss:  pb.LeaderLoss(j.leaderLoss),
		MaxAttempts:   j.maxAttempts,
		ResumeToken:   resumeToken,
		Caller:        j.caller,

		RetainFromLead: j.retainFromLead,
		Fresh:          j.fresh,
	}
	if j.fingerprint != "" {
		wire.Fingerprint = []byte(j.fingerprint)
	}
	return wire
}
