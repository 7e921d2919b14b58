// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// The plain pattern on Redis: who can SET the lock NX PX runs, stores the value and gives the lock
// back; everybody else looks for the value again and again.
type setnxPeer struct {
	clients []*redis.Client
}

const (
	lockTTL  = 30 * time.Second
	valueTTL = 10 * time.Second
	pollTime = 10 * time.Millisecond // between two looks, as such loops are mostly written
)

func openSetnx(p plan) peer {
	it := &setnxPeer{}
	for range p.clients {
		it.clients = append(it.clients, redis.NewClient(&redis.Options{Addr: p.target}))
	}
	return it
}

func (it *setnxPeer) get(ctx context.Context, client int, key string, fn func() []byte) ([]byte, error) {
	c := it.clients[client]
	for {
		won, value, err := it.look(ctx, c, key)
		if err != nil || value != nil {
			return value, err
		}
		if won {
			return it.lead(ctx, c, key, fn)
		}
		value, err = it.poll(ctx, c, key)
		if err != nil || value != nil {
			return value, err
		}
	}
}

// Tries for the lock and looks for a value that is there already, in one trip.
func (it *setnxPeer) look(ctx context.Context, c *redis.Client, key string) (bool, []byte, error) {
	var lock *redis.BoolCmd
	var stored *redis.StringCmd
	_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		lock = pipe.SetNX(ctx, "lock:"+key, "1", lockTTL)
		stored = pipe.Get(ctx, "value:"+key)
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return false, nil, err
	}
	value, err := stored.Bytes()
	if errors.Is(err, redis.Nil) {
		return lock.Val(), nil, nil
	}
	if err == nil && lock.Val() {
		err = c.Del(ctx, "lock:"+key).Err()
	}
	return lock.Val(), value, err
}

func (it *setnxPeer) lead(ctx context.Context, c *redis.Client, key string, fn func() []byte) ([]byte, error) {
	value := fn()
	_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, "value:"+key, value, valueTTL)
		pipe.Del(ctx, "lock:"+key)
		return nil
	})
	return value, err
}

// Looks until the value is there, or the lock is gone without one.
func (it *setnxPeer) poll(ctx context.Context, c *redis.Client, key string) ([]byte, error) {
	for {
		found, err := c.MGet(ctx, "value:"+key, "lock:"+key).Result()
		if err != nil {
			return nil, err
		}
		if value, is := found[0].(string); is {
			return []byte(value), nil
		}
		if found[1] == nil {
			return nil, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pollTime):
		}
	}
}

func (it *setnxPeer) prepare(context.Context, int) error {
	return nil
}

func (it *setnxPeer) waiting(context.Context) (int, bool) {
	return 0, false
}
