// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Kind is how the function of a flight ended. The numbers are those of the wire.
type Kind int32

const (
	// KindNone stands in the result of a call that got no outcome: its error is a [StatusError].
	KindNone Kind = 0
	// KindOK is a function that returned without an error.
	KindOK Kind = 1
	// KindError is a function that returned an error, perhaps with a value beside it.
	KindError Kind = 2
	// KindPanic is a function that panicked.
	KindPanic Kind = 3
	// KindAbandoned is a function that ended without an outcome, such as by runtime.Goexit.
	KindAbandoned Kind = 4
)

// String returns the name in capitals, such as "ERROR"; "" for KindNone.
func (k Kind) String() string {
	switch k {
	case KindNone:
		return ""
	case KindOK:
		return "OK"
	case KindError:
		return "ERROR"
	case KindPanic:
		return "PANIC"
	case KindAbandoned:
		return "ABANDONED"
	}
	return fmt.Sprintf("KIND(%d)", int32(k))
}

// FunctionError is what the function of the flight ended with, when it ran in another process; and,
// in any process, when it panicked or ended without an outcome.
//
// A function that wants to say more than a text returns one as its own error, or wraps one: Kind (0
// is KindError), Code, Type, Stack and Details go out to the followers.
type FunctionError struct {
	Kind    Kind
	Message string
	Type    string // type of the error or exception, such as "*fs.PathError"
	Stack   string // where it happened, if the leader knows
	Code    int32  // the function's own error code
	Details []byte // anything, at most 64 KiB

	// Cause is what led to it, in the process where it happened. Callers elsewhere find it, and its
	// own causes, at the end of Stack.
	Cause error

	// Recovered is the value of the panic, in the process where it happened; nil elsewhere.
	Recovered any
}

// Error returns the message; of a panic also the word.
func (e *FunctionError) Error() string {
	switch {
	case e.Kind == KindPanic:
		return "panic: " + e.Message
	case e.Message != "":
		return e.Message
	case e.Type != "":
		return e.Type
	}
	return "the function ended with " + e.Kind.String()
}

// Unwrap returns Cause, or the value of the panic if it is an error.
func (e *FunctionError) Unwrap() error {
	if e.Cause != nil {
		return e.Cause
	}
	err, _ := e.Recovered.(error)
	return err
}

// Is lets errors.Is find [ErrResourceExhausted] in an outcome whose value met a limit.
func (e *FunctionError) Is(target error) bool {
	return e.Type == limitExceeded && target == error(ErrResourceExhausted)
}

// CodecOp is what a codec could not do.
type CodecOp string

const (
	// Encode is turning the function's value into bytes: every caller of the flight has this error.
	Encode CodecOp = "encode"
	// Decode is turning bytes into a value: the caller that cannot has this error.
	Decode CodecOp = "decode"
)

// CodecError tells that the codec could not carry the value: for the caller that led and for those
// that followed alike.
type CodecError struct {
	Op  CodecOp
	Err error // of the codec; in another process only its text is left
}

// Error says what could not be done, and why.
func (e *CodecError) Error() string {
	return fmt.Sprintf("singleflight: the value cannot be %sd: %v", e.Op, e.Err)
}

// Unwrap returns the codec's own error.
func (e *CodecError) Unwrap() error { return e.Err }

// StatusError tells that a call got no outcome: the service refuses it, cannot be reached, or the
// caller has left. The message says what to do.
//
// errors.Is finds the errors of this package below by code; a context's own error when the caller
// left by its context; and status.Code of gRPC knows the code, too.
type StatusError struct {
	Code    codes.Code
	Message string

	cause error
}

// What errors.Is compares a StatusError with: the code counts, not the text.
var (
	// ErrCanceled: the caller's context was cancelled, or the client closed.
	ErrCanceled = &StatusError{Code: codes.Canceled}
	// ErrInvalidArgument: an option is out of its bounds.
	ErrInvalidArgument = &StatusError{Code: codes.InvalidArgument}
	// ErrDeadlineExceeded: the deadline of the caller's context is over.
	ErrDeadlineExceeded = &StatusError{Code: codes.DeadlineExceeded}
	// ErrNotFound: FollowOnly, and there is nothing to follow.
	ErrNotFound = &StatusError{Code: codes.NotFound}
	// ErrUnauthenticated: the server does not know who asks: the token or the certificate is missing,
	// or is none that it takes.
	ErrUnauthenticated = &StatusError{Code: codes.Unauthenticated}
	// ErrPermissionDenied: the server knows who asks, and does not allow it.
	ErrPermissionDenied = &StatusError{Code: codes.PermissionDenied}
	// ErrResourceExhausted: a limit, named in the message with its value.
	ErrResourceExhausted = &StatusError{Code: codes.ResourceExhausted}
	// ErrFailedPrecondition: the key is in use with another fingerprint, or the call would wait for
	// itself.
	ErrFailedPrecondition = &StatusError{Code: codes.FailedPrecondition}
	// ErrAborted: the leader was lost and nobody may take over; or this caller led and was
	// replaced; or LeadOnly while another leads.
	ErrAborted = &StatusError{Code: codes.Aborted}
	// ErrUnavailable: no server could be reached, or it shuts down.
	ErrUnavailable = &StatusError{Code: codes.Unavailable}
)

// Error returns code and message.
func (e *StatusError) Error() string {
	return fmt.Sprintf("singleflight: %s: %s", e.CodeName(), e.Message)
}

// Is tells whether target is a StatusError of this code without a text.
func (e *StatusError) Is(target error) bool {
	other, ok := target.(*StatusError)
	return ok && other.Code == e.Code && (other.Message == "" || other.Message == e.Message)
}

// Unwrap returns the error of the context by which the caller left; otherwise nil.
func (e *StatusError) Unwrap() error { return e.cause }

// GRPCStatus lets status.FromError and status.Code read it.
func (e *StatusError) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

func statusErrorf(code codes.Code, format string, arguments ...any) *StatusError {
	return &StatusError{Code: code, Message: fmt.Sprintf(format, arguments...)}
}

// leftByContext is how a call ends whose context is done.
func leftByContext(ctx context.Context) *StatusError {
	err := ctx.Err()
	if err == context.DeadlineExceeded {
		return &StatusError{
			Code:    codes.DeadlineExceeded,
			Message: "the deadline of the call is over",
			cause:   err,
		}
	}
	return &StatusError{
		Code:    codes.Canceled,
		Message: "the call was cancelled by its caller",
		cause:   err,
	}
}

// CodeName returns the code as gRPC's documents write it, such as "DEADLINE_EXCEEDED".
func (e *StatusError) CodeName() string {
	names := [...]string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
		"ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
		"ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
		"UNAUTHENTICATED",
	}
	if int(e.Code) < len(names) {
		return names[e.Code]
	}
	return fmt.Sprintf("CODE(%d)", e.Code)
}
