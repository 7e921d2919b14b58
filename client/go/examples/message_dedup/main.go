// SPDX-License-Identifier: Apache-2.0

// Message deduplication: a broker delivers at least once, and an order must be charged once. Within
// the window, a message that is delivered again gets the outcome of the first one; two deliveries
// at the same time on two machines do, too.  Usage: message_dedup LEDGER MESSAGE_ID AMOUNT
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: message_dedup LEDGER MESSAGE_ID AMOUNT")
	}
	ledger, message, amount := os.Args[1], os.Args[2], os.Args[3]
	// The window. An error is not retained: the broker delivers again, and the charge is tried
	// again.
	orders := &singleflight.Group{
		Name:    "orders",
		Options: []singleflight.Option{singleflight.WithRetain(time.Hour)},
	}
	result, err := singleflight.Do(context.Background(), orders, message,
		func(ctx context.Context) (string, error) { return charge(ctx, ledger, message, amount) })
	if err != nil {
		log.Fatal("message_dedup: ", err)
	}
	how := "charged"
	if !result.Led {
		how = "known"
	}
	fmt.Printf("%s (%s)\n", result.Value, how)
}

// charge writes a line into the ledger. The receipt is what the consumer answers with. A ledger that
// is a database would also refuse a token smaller than the last one: docs/guarantees.md.
func charge(ctx context.Context, ledger, message, amount string) (receipt string, err error) {
	token := singleflight.TokenFromContext(ctx)
	file, err := os.OpenFile(ledger, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if _, err := fmt.Fprintf(file, "%s %s %d\n", message, amount, token); err != nil {
		return "", err
	}
	return fmt.Sprintf("receipt %d for %s", token, message), nil
}
