// SPDX-License-Identifier: Apache-2.0

// Cache breakdown: an entry that everybody wants has just expired, and the database is asked for it
// once instead of a thousand times.  Usage: cache_breakdown DATABASE USER
package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: cache_breakdown DATABASE USER")
	}
	database, user := os.Args[1], os.Args[2]
	users := &singleflight.Group{Name: "users"}
	// Runs in one process, on behalf of all that ask for this user at this moment.
	load := func(context.Context) (string, error) { return query(database, user) }
	// Retained for those who looked into the cache just before it was filled.
	result, err := singleflight.Do(
		context.Background(),
		users,
		user,
		load,
		singleflight.WithRetain(5*time.Second),
	)
	if err != nil {
		log.Fatal("cache_breakdown: ", err)
	}
	from := "shared"
	if result.Led {
		from = "from the database"
	}
	fmt.Printf("%s (%s)\n", result.Value, from)
}

// query looks a user up. The database is a file of lines "name,profile".
func query(database, user string) (profile string, err error) {
	file, err := os.Open(database)
	if err != nil {
		return "", err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return "", err
	}
	for _, row := range rows {
		if row[0] == user && len(row) == 2 {
			return row[1], nil
		}
	}
	return "", &singleflight.FunctionError{Code: 2, Message: "no such user"}
}
