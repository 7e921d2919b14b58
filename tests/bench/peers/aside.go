// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// Cache-aside with a lock, on Redis' client-side caching: the pattern of rueidisaside, written
// here on rueidis, because rueidisaside is a module of its own that module proxies do not all
// serve. The key itself is the lock: it holds the owner's mark until it holds the value, and Redis
// tells everybody who has read it when it changes. Nobody polls.
type asidePeer struct {
	clients []*asideClient
}

type asideClient struct {
	rueidis.Client
	mark    string
	mutex   sync.Mutex
	changed map[string]chan struct{}
}

const markPrefix = "\x00lock:"

// Stores the value only while the key still holds our mark.
var publish = rueidis.NewLuaScript(
	"if redis.call('GET',KEYS[1]) == ARGV[1] then " +
		"return redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) end return nil")

func openAside(p plan) (peer, error) {
	it := &asidePeer{}
	for range p.clients {
		a := &asideClient{mark: markPrefix + rand.Text(), changed: map[string]chan struct{}{}}
		client, err := rueidis.NewClient(rueidis.ClientOption{
			InitAddress:     []string{p.target},
			OnInvalidations: a.onInvalidations,
		})
		if err != nil {
			return nil, err
		}
		a.Client = client
		it.clients = append(it.clients, a)
	}
	return it, nil
}

func (a *asideClient) onInvalidations(messages []rueidis.RedisMessage) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if messages == nil { // the connection was lost: anything may have changed
		for key, changed := range a.changed {
			delete(a.changed, key)
			close(changed)
		}
	}
	for i := range messages {
		key, _ := messages[i].ToString()
		if changed, waited := a.changed[key]; waited {
			delete(a.changed, key)
			close(changed)
		}
	}
}

func (a *asideClient) onChange(key string) chan struct{} {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	changed, waited := a.changed[key]
	if !waited {
		changed = make(chan struct{})
		a.changed[key] = changed
	}
	return changed
}

func (it *asidePeer) get(ctx context.Context, client int, key string, fn func() []byte) ([]byte, error) {
	a := it.clients[client]
	for {
		changed := a.onChange(key)
		value, err := a.DoCache(ctx, a.B().Get().Key(key).Cache(), valueTTL).ToString()
		if rueidis.IsRedisNil(err) {
			value, err = a.Do(ctx, a.B().Set().Key(key).Value(a.mark).Nx().Get().Px(lockTTL).Build()).ToString()
			if rueidis.IsRedisNil(err) {
				return a.lead(ctx, key, fn)
			}
		}
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(value, markPrefix) {
			return []byte(value), nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		case <-time.After(lockTTL):
		}
	}
}

func (a *asideClient) lead(ctx context.Context, key string, fn func() []byte) ([]byte, error) {
	value := fn()
	err := publish.Exec(ctx, a.Client, []string{key},
		[]string{a.mark, rueidis.BinaryString(value), "10000"}).Error()
	return value, err
}

func (it *asidePeer) prepare(context.Context, int) error {
	return nil
}

func (it *asidePeer) waiting(context.Context) (int, bool) {
	return 0, false
}
