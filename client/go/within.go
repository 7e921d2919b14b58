// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"slices"

	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// LeadRef names a lead, so that another process can be told of it.
type LeadRef struct {
	Group string `json:"group"`
	Key   string `json:"key"`
	Token uint64 `json:"token,string"`
}

type leadsKey struct{}

// LeadsFromContext returns the leads inside which a call with this context would be made, the
// innermost first, at most 32. A function that calls another program hands them on with its request;
// that program takes them by [ContextWithLeads]. Then a call there that would wait for this very
// function ends at once with FAILED_PRECONDITION, as it does in one process.
func LeadsFromContext(ctx context.Context) []LeadRef {
	leads := LeaderFromContext(ctx).refs()
	leads = append(leads, leadsOfCallers(ctx)...)
	return leads[:min(len(leads), withinMax)]
}

// ContextWithLeads says that what is done with this context is done for the functions of these
// leads, which another process holds.
func ContextWithLeads(ctx context.Context, leads []LeadRef) context.Context {
	return context.WithValue(ctx, leadsKey{}, append(slices.Clone(leads), leadsOfCallers(ctx)...))
}

func leadsOfCallers(ctx context.Context) []LeadRef {
	leads, _ := ctx.Value(leadsKey{}).([]LeadRef)
	return leads
}

// refs are this lead and those around it in this process; of nil: none.
func (l *Leader) refs() []LeadRef {
	var refs []LeadRef
	for ; l != nil && len(refs) < withinMax; l = l.within {
		if l.token != 0 {
			refs = append(refs, LeadRef{Group: l.group, Key: l.key, Token: l.token})
		}
	}
	return refs
}

// leads are those inside which the call is made, as the server is told.
func (c *call) leads() []*pb.LeadRef {
	if c.within == nil && len(c.ofCallers) == 0 {
		return nil
	}
	refs := append(c.within.refs(), c.ofCallers...)
	wire := make([]*pb.LeadRef, min(len(refs), withinMax))
	for i := range wire {
		wire[i] = &pb.LeadRef{Group: refs[i].Group, Key: []byte(refs[i].Key), Token: refs[i].Token}
	}
	return wire
}
