// SPDX-License-Identifier: Apache-2.0

// Relief for a distributed lock: a thousand processes want the job done under a lock in Redis. Only
// one of them tries for the lock, the others wait here, where waiting is cheap.
// Usage: lock_relief REDIS JOB      REDIS is host:port, or the path of a unix socket
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/singleflightd/singleflightd/client/go"
)

const unlock = `if redis.call('get', KEYS[1]) == ARGV[1] then
	return redis.call('del', KEYS[1]) else return 0 end`

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: lock_relief REDIS JOB")
	}
	address, job := os.Args[1], os.Args[2]
	jobs := &singleflight.Group{Name: "jobs"}
	result, err := singleflight.Do(context.Background(), jobs, job,
		func(ctx context.Context) (string, error) { return run(ctx, address, job) })
	if err != nil {
		log.Fatal("lock_relief: ", err)
	}
	fmt.Println(result.Value)
}

// run does the job: it counts its runs, under the lock, which those who do not use singleflight
// respect, too.
func run(ctx context.Context, address, job string) (done string, err error) {
	network := "tcp"
	if strings.Contains(address, "/") {
		network = "unix"
	}
	client := redis.NewClient(&redis.Options{Network: network, Addr: address})
	defer client.Close()
	token := singleflight.TokenFromContext(
		ctx,
	) // the value of the lock: no other holder has the same
	locked, err := client.SetNX(ctx, "lock:"+job, token, 30*time.Second).Result()
	if err != nil {
		return "", err
	}
	if !locked {
		return "", errors.New("somebody else has the lock")
	}
	defer func() {
		// Also when nobody waits any more: the lock is to go.
		released := client.Eval(context.WithoutCancel(ctx), unlock, []string{"lock:" + job}, token).
			Err()
		err = errors.Join(err, released)
	}()
	runs, err := client.Incr(ctx, "runs:"+job).Result()
	return fmt.Sprintf("run %d", runs), err
}
