// SPDX-License-Identifier: Apache-2.0

// Merging equal remote calls: however many processes GET the same thing at the same time, the other
// side sees one request.  Usage: merge_remote_calls URL
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/singleflightd/singleflightd/client/go"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: merge_remote_calls URL")
	}
	url := os.Args[1]
	client, err := singleflight.Default()
	if err != nil {
		log.Fatal("merge_remote_calls: ", err)
	}
	get := func(ctx context.Context, leader *singleflight.Leader) error {
		err := copyBody(ctx, url, leader)
		if err != nil {
			leader.PassOn() // our trouble need not be everybody's: the next one tries
		}
		return err
	}
	result, err := client.Do(context.Background(), url, get, singleflight.WithGroup("gets"))
	if err != nil {
		log.Fatal("merge_remote_calls: ", err)
	}
	fmt.Printf("%s", result.Value)
}

// copyBody GETs; the request is given up when nobody waits for it any more.
func copyBody(ctx context.Context, url string, to io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	_, err = io.Copy(to, response.Body)
	return err
}
