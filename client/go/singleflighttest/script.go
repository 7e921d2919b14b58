// SPDX-License-Identifier: Apache-2.0

package singleflighttest

import (
	"encoding/json"
	"errors"
	"fmt"

	singleflight "github.com/singleflightd/singleflightd/client/go"
	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// script is what becomes of the calls for a key. The zero one: they lead.
type script struct {
	outcome   *pb.Outcome // they follow, and get this
	refusal   *pb.End     // they are refused
	takesOver bool
	loses     bool
	token     uint64 // of the lead; 0: the next one
	attempt   uint32 // of the lead; 0: the first
}

func outcomeScript(value any, err error) script {
	var refusal *singleflight.StatusError
	if errors.As(err, &refusal) {
		return script{refusal: &pb.End{Code: int32(refusal.Code), Message: refusal.Message}}
	}
	outcome := &pb.Outcome{Kind: pb.OutcomeKind_OUTCOME_KIND_OK}
	if err != nil {
		describe(outcome, err)
	}
	if value == nil && err != nil {
		return script{outcome: outcome}
	}
	bytes, isRaw := value.([]byte)
	if !isRaw {
		var problem error
		if bytes, problem = json.Marshal(value); problem != nil {
			panic(fmt.Sprintf("singleflighttest: the value cannot be encoded: %v", problem))
		}
	}
	outcome.Value = bytes
	return script{outcome: outcome}
}

// describe puts an error into an outcome as the leader's client would.
func describe(outcome *pb.Outcome, err error) {
	outcome.Kind = pb.OutcomeKind_OUTCOME_KIND_ERROR
	outcome.Message = err.Error()
	outcome.Type = fmt.Sprintf("%T", err)
	var described *singleflight.FunctionError
	if !errors.As(err, &described) {
		return
	}
	if described.Kind != singleflight.KindNone {
		outcome.Kind = pb.OutcomeKind(described.Kind)
	}
	outcome.Message = described.Message
	outcome.Type = described.Type
	outcome.Stack = described.Stack
	outcome.Code = described.Code
	outcome.Details = described.Details
}
