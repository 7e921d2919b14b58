// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
)

func ExampleDo() {
	client, err := singleflight.NewClient(singleflight.ClientOptions{
		Addresses: []string{"127.0.0.1:7433"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	type profile struct{ Name, City string }
	load := func(ctx context.Context) (profile, error) {
		// Runs in one process, on behalf of all that ask.
		return profile{"Ann", "Oslo"}, nil
	}
	result, err := singleflight.Do(context.Background(), client, "user_123", load,
		singleflight.WithGroup("users"), singleflight.WithRetain(5*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Value.City, result.Led, result.Callers)
}

func ExampleGroup_Do() {
	var group singleflight.Group // asks the daemon that SINGLEFLIGHT_ADDRESS names
	report, err, shared := group.Do("report", func() (any, error) {
		return "the report", nil
	})
	fmt.Println(report, err, shared)
}

func ExampleTokenFromContext() {
	update := func(ctx context.Context) (bool, error) {
		// What is written to refuses a token that is smaller than one it has seen.
		token := singleflight.TokenFromContext(ctx)
		fmt.Println("UPDATE reports SET body = …, token =", token, "WHERE token <=", token)
		return true, nil
	}
	_, err := singleflight.Do(context.Background(), nil, "nightly", update,
		singleflight.WithLease(10*time.Second))
	if err != nil {
		log.Print(err)
	}
}

func ExampleCall_Chunks() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		client, err := singleflight.Default()
		if err != nil {
			log.Fatal(err)
		}
		work := func(ctx context.Context, leader *singleflight.Leader) error {
			_, err := fmt.Fprintln(leader, "written by one, read by all")
			return err
		}
		call := client.Start(r.Context(), r.URL.Path, work, singleflight.WithLive())
		for chunk, err := range call.Chunks() {
			if err != nil || chunk.Restart {
				return // what has gone out cannot be taken back
			}
			_, _ = w.Write(chunk.Data)
		}
	}
	http.HandleFunc("/", handler)
}
