// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
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
)

// Option is an option of one call. Those marked (opener) hold for the flight as its first caller
// gave them; the others are each caller's own.
type Option func(*options)

// WithGroup names the group: a namespace of keys, at most 128 bytes of [A-Za-z0-9._-]. The default
// is "default".
func WithGroup(group string) Option { return func(o *options) { o.group = group } }

// WithRetain keeps an OK outcome for so long, for callers that come late. (opener)
func WithRetain(d time.Duration) Option { return func(o *options) { o.retainMs = ms(d) } }

// WithRetainError does the same for every other outcome. (opener)
func WithRetainError(d time.Duration) Option { return func(o *options) { o.retainErrorMs = ms(d) } }

// WithMaxAge takes a retained outcome only if it is not older.
func WithMaxAge(d time.Duration) Option { return func(o *options) { o.maxAgeMs = ms(d) } }

// WithLease lets the lead outlive a broken connection: who leads does so as long as its process
// renews the lease in time, which the client does by itself. One second to ten minutes. Without
// one, who leads does so as long as its connection holds. (opener)
func WithLease(d time.Duration) Option { return func(o *options) { o.leaseMs = ms(d) } }

// WithRunLimit replaces a leader that runs longer. (opener)
func WithRunLimit(d time.Duration) Option { return func(o *options) { o.runLimitMs = ms(d) } }

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
// Such a call tries even while every server is known to be down.
func WithConnectTimeout(d time.Duration) Option {
	return func(o *options) { o.connectTimeout, o.waitsWhenDown = d, d > 0 }
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
}

// options are those of one call.
type options struct {
	join
	connectTimeout time.Duration
	waitsWhenDown  bool
	codec          Codec
}

// Far above what any server takes; they only keep a message of ours below its bound. What lies
// between is refused by the server, whose settings these are.
const (
	keyBytesMax  = 64 * 1024
	textBytesMax = 4096
)

func (o *options) problem() *StatusError {
	text := ""
	switch {
	case o.key == "":
		text = "the key is empty: a key has 1 to 1,024 bytes"
	case len(o.key) > keyBytesMax:
		text = "the key is too long: a key has 1 to 1,024 bytes"
	case len(o.group) > textBytesMax || !utf8.ValidString(o.group):
		text = "the group is not at most 128 bytes of [A-Za-z0-9._-]"
	case len(o.caller) > textBytesMax || !utf8.ValidString(o.caller):
		text = "the caller is not at most 128 bytes of UTF-8"
	case len(o.fingerprint) > textBytesMax:
		text = "the fingerprint is too long: at most 64 bytes"
	case o.role < Any || o.role > FollowOnly:
		text = "the role is none of Any, LeadOnly and FollowOnly"
	case o.leaderLoss < Promote || o.leaderLoss > Fail:
		text = "the leader loss is neither Promote nor Fail"
	default:
		return nil
	}
	return &StatusError{Code: codes.InvalidArgument, Message: text}
}

func (j *join) mergeable() bool {
	return j.role == Any && !j.live && j.resumeToken == 0 && !j.noLocalMerge
}

// toWire makes the message. With resumeToken only that token, group and key are looked at.
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
		RetainMs:      j.retainMs,
		RetainErrorMs: j.retainErrorMs,
		MaxAgeMs:      j.maxAgeMs,
		LeaseMs:       j.leaseMs,
		RunLimitMs:    j.runLimitMs,
		OnLeaderLoss:  pb.LeaderLoss(j.leaderLoss),
		MaxAttempts:   j.maxAttempts,
		ResumeToken:   resumeToken,
		Caller:        j.caller,
	}
	if j.fingerprint != "" {
		wire.Fingerprint = []byte(j.fingerprint)
	}
	return wire
}
