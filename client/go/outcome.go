// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// encodeError is the type of the outcome of a function whose value could not be encoded, in every
// language.
const encodeError = "singleflight.EncodeError"

const (
	textOnWireMax = 64 * 1024
	detailsMax    = 64 * 1024
)

// Facts tell about a flight and a caller's part in it.
type Facts struct {
	Led     bool   // this very call ran the function whose outcome this is
	Shared  bool   // the outcome went to more than one caller; true for the leader, too
	Callers int    // to how many, the leader and the merged callers of this process included
	Attempt int    // the how-many-eth leader of the flight made it, from 1
	Token   uint64 // the fencing token of that leader; 0 after FailedOpen

	Stale         bool          // older than WithMaxAge, and served because of WithStale
	Retained      bool          // served from a retained outcome: nobody ran anything for this call
	Age           time.Duration // of that outcome
	Retain        time.Duration // for how long from now the outcome is retained; 0: it is not
	RetainRefused bool          // it should have been retained, but the server had no room

	FailedOpen bool // no server could be reached, and the function ran in this process alone
}

func factsOf(result *pb.Result) Facts {
	return Facts{
		Shared:        result.Shared,
		Callers:       int(result.Callers),
		Attempt:       int(result.Attempt),
		Token:         result.Token,
		Retained:      result.Retained,
		Age:           time.Duration(result.AgeMs) * time.Millisecond,
		Retain:        time.Duration(result.RetainMs) * time.Millisecond,
		RetainRefused: result.RetainRefused,
	}
}

// outcome is what a flight ended with. Never changed once the callers have it.
type outcome struct {
	kind Kind
	err  error // with another kind than KindOK: the function's own, or a *FunctionError

	// The value: what the function returned, in its own process, unless it wrote its value. Only a
	// Group hands it out.
	native    any
	hasNative bool
	pieces    [][]byte // its bytes
}

// bytes returns the value as one piece of the caller's own, nil if it is empty.
func (o *outcome) bytes() []byte { return slices.Concat(o.pieces...) }

// ending is what a call ends with: an outcome, or a status.
type ending struct {
	status  *StatusError
	outcome *outcome
	facts   Facts
}

// outcomeOfWire makes an outcome of what the server says, and of the bytes that have come.
func outcomeOfWire(wire *pb.Outcome, pieces [][]byte) *outcome {
	o := &outcome{kind: Kind(wire.Kind), pieces: pieces}
	switch {
	case o.kind == KindOK:
	case wire.Type == encodeError:
		o.err = &CodecError{Op: Encode, Err: errors.New(wire.Message)}
	default:
		o.err = &FunctionError{
			Kind:    o.kind,
			Message: wire.Message,
			Type:    wire.Type,
			Stack:   wire.Stack,
			Code:    wire.Code,
			Details: wire.Details,
		}
	}
	return o
}

// kindOfError is the kind of outcome that a function's error makes.
func kindOfError(err error) Kind {
	if err == nil {
		return KindOK
	}
	var described *FunctionError
	if errors.As(err, &described) && described.Kind > KindOK && described.Kind <= KindAbandoned {
		return described.Kind
	}
	return KindError
}

// toWire describes an outcome, but for its value.
func (o *outcome) toWire() *pb.Outcome {
	wire := &pb.Outcome{Kind: pb.OutcomeKind(o.kind)}
	if o.err == nil {
		return wire
	}
	wire.Message = o.err.Error()
	wire.Type = fmt.Sprintf("%T", o.err)
	var codec *CodecError
	if errors.As(o.err, &codec) && codec.Op == Encode {
		wire.Message, wire.Type = codec.Err.Error(), encodeError
	}
	var described *FunctionError
	stack := ""
	if errors.As(o.err, &described) {
		if described == o.err {
			wire.Message = described.Message
			wire.Type = described.Type
		} else if described.Type != "" {
			wire.Type = described.Type
		}
		wire.Code = described.Code
		stack = described.Stack
		wire.Details = described.Details[:min(len(described.Details), detailsMax)]
	}
	wire.Message = wireText(wire.Message)
	wire.Type = wireText(wire.Type)
	wire.Stack = wireText(stack + causesOf(o.err))
	return wire
}

// causesOf are the errors that an error wraps, one a line.
func causesOf(err error) string {
	var text strings.Builder
	addCauses(&text, err)
	return text.String()
}

func addCauses(text *strings.Builder, err error) {
	var causes []error
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		causes = []error{err.Unwrap()}
	case interface{ Unwrap() []error }:
		causes = err.Unwrap()
	}
	for _, cause := range causes {
		if cause == nil || text.Len() > textOnWireMax {
			continue
		}
		fmt.Fprintf(text, "\ncaused by %T: %v", cause, cause)
		addCauses(text, cause)
	}
}

// wireText makes valid UTF-8 of a bounded size of any text.
func wireText(text string) string {
	if len(text) > textOnWireMax {
		text = text[:textOnWireMax]
		for cut := 0; cut < utf8.UTFMax && !utf8.ValidString(text[len(text)-1:]); cut++ {
			last := text[len(text)-1]
			text = text[:len(text)-1]
			if utf8.RuneStart(last) {
				break
			}
		}
	}
	return strings.ToValidUTF8(text, "?")
}
