// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// etcd as one would use it for this: a transaction creates the key, unless it is there, with a mark
// in it; who has created it runs, and puts the value in the mark's place; everybody else watches
// the key from the revision that the transaction has told. Nobody polls, and nobody queues.
type etcdPeer struct {
	clients []*etcdClient
}

type etcdClient struct {
	*clientv3.Client
	alive clientv3.LeaseID // as long as the process lives: of marks
	kept  atomic.Int64     // renewed each second, and never kept alive: of values
}

const etcdMark = "\x00led"

func openEtcd(p plan) (peer, error) {
	it := &etcdPeer{}
	for range p.clients {
		client, err := clientv3.New(clientv3.Config{
			Endpoints:   []string{p.target},
			DialTimeout: 5 * time.Second,
			Logger:      zap.NewNop(),
		})
		if err != nil {
			return nil, err
		}
		it.clients = append(it.clients, &etcdClient{Client: client})
	}
	return it, nil
}

func (it *etcdPeer) get(ctx context.Context, client int, key string, fn func() []byte) ([]byte, error) {
	c := it.clients[client]
	created, err := c.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, etcdMark, clientv3.WithLease(c.alive))).
		Else(clientv3.OpGet(key)).
		Commit()
	if err != nil {
		return nil, err
	}
	if created.Succeeded {
		value := fn()
		_, err := c.Put(ctx, key, string(value), clientv3.WithLease(clientv3.LeaseID(c.kept.Load())))
		return value, err
	}
	found := created.Responses[0].GetResponseRange().Kvs
	if len(found) == 1 && string(found[0].Value) != etcdMark {
		return found[0].Value, nil
	}
	return c.wait(ctx, key, created.Header.Revision+1)
}

// A leader that dies takes its mark with it; that is not played here, so it counts as an error.
func (c *etcdClient) wait(ctx context.Context, key string, revision int64) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for response := range c.Watch(ctx, key, clientv3.WithRev(revision)) {
		for _, event := range response.Events {
			if event.Type == clientv3.EventTypePut {
				return event.Kv.Value, nil
			}
		}
		if err := response.Err(); err != nil {
			return nil, err
		}
	}
	return nil, ctx.Err()
}

func (c *etcdClient) grant(ctx context.Context) error {
	lease, err := c.Grant(ctx, int64(valueTTL.Seconds()))
	if err == nil {
		c.kept.Store(int64(lease.ID))
	}
	return err
}

// The leases that all callers of a client share: one for each flight would be a request more.
func (it *etcdPeer) prepare(ctx context.Context, _ int) error {
	for _, c := range it.clients {
		lease, err := c.Grant(ctx, int64(lockTTL.Seconds()))
		if err != nil {
			return err
		}
		c.alive = lease.ID
		answers, err := c.KeepAlive(ctx, lease.ID)
		if err != nil {
			return err
		}
		go func() {
			for range answers {
			}
		}()
		if err := c.grant(ctx); err != nil {
			return err
		}
		go func() {
			for range time.Tick(time.Second) {
				_ = c.grant(ctx)
			}
		}()
	}
	return nil
}

func (it *etcdPeer) waiting(context.Context) (int, bool) {
	return 0, false
}
