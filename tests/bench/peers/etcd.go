// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// etcd's own mutex and a key for the value: who has the lock looks for the value, and runs and
// stores it when there is none. So the callers have it one after the other.
type etcdPeer struct {
	clients []*etcdClient
}

// A mutex belongs to a session: two callers with one session would both have the lock. So every
// caller takes a session of its own for as long as it asks, as callers on many machines would have.
type etcdClient struct {
	*clientv3.Client
	mutex sync.Mutex
	idle  []*concurrency.Session
}

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

func (c *etcdClient) take() (*concurrency.Session, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if last := len(c.idle) - 1; last >= 0 {
		session := c.idle[last]
		c.idle = c.idle[:last]
		return session, nil
	}
	c.mutex.Unlock()
	session, err := concurrency.NewSession(c.Client)
	c.mutex.Lock()
	return session, err
}

func (c *etcdClient) give(session *concurrency.Session) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.idle = append(c.idle, session)
}

func (it *etcdPeer) get(ctx context.Context, client int, key string, fn func() []byte) ([]byte, error) {
	c := it.clients[client]
	value, err := c.read(ctx, key)
	if value != nil || err != nil {
		return value, err
	}
	session, err := c.take()
	if err != nil {
		return nil, err
	}
	defer c.give(session)
	mutex := concurrency.NewMutex(session, "lock/"+key)
	if err := mutex.Lock(ctx); err != nil {
		return nil, err
	}
	value, err = c.read(ctx, key)
	if value == nil && err == nil {
		value = fn()
		_, err = c.Put(ctx, "value/"+key, string(value), clientv3.WithLease(session.Lease()))
	}
	if unlockErr := mutex.Unlock(ctx); err == nil {
		err = unlockErr
	}
	return value, err
}

func (c *etcdClient) read(ctx context.Context, key string) ([]byte, error) {
	found, err := c.Get(ctx, "value/"+key)
	if err != nil || len(found.Kvs) == 0 {
		return nil, err
	}
	return found.Kvs[0].Value, nil
}

// Makes the callers' sessions, some at a time.
func (it *etcdPeer) prepare(ctx context.Context, callers int) error {
	group, _ := errgroup.WithContext(ctx)
	group.SetLimit(64)
	for i := range callers {
		group.Go(func() error {
			c := it.clients[i%len(it.clients)]
			session, err := concurrency.NewSession(c.Client)
			if err == nil {
				c.give(session)
			}
			return err
		})
	}
	return group.Wait()
}

func (it *etcdPeer) waiting(context.Context) (int, bool) {
	return 0, false
}
