// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	tokenLookEvery = time.Second
	tokenBytesMax  = 4096
)

// tokenFile is the token that a file holds, as the credentials of each stream. It is read again when
// the file has changed; while that cannot be used, the token stays what it was.
type tokenFile struct {
	path string

	mu      sync.Mutex
	looked  time.Time
	seen    os.FileInfo // of the file when it was read
	token   string
	version int // grows with every other token
}

func newTokenFile(path string) (*tokenFile, error) {
	f := &tokenFile{path: path, looked: time.Now()}
	if err := f.read(); err != nil {
		return nil, statusErrorf(codes.InvalidArgument, "ClientOptions.TokenFile: %v", err)
	}
	return f, nil
}

// read takes what is in the file now, unless it has not changed.
func (f *tokenFile) read() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	if f.seen != nil && os.SameFile(f.seen, info) && f.seen.Size() == info.Size() &&
		f.seen.ModTime().Equal(info.ModTime()) {
		return nil
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	token := strings.TrimSpace(string(text))
	isPrintable := func(r rune) bool { return r > ' ' && r < 0x7f }
	switch {
	case token == "":
		return fmt.Errorf("%s is empty", f.path)
	case len(token) > tokenBytesMax || strings.TrimLeftFunc(token, isPrintable) != "":
		return fmt.Errorf("%s does not hold one token of at most %d printable characters", f.path,
			tokenBytesMax)
	}
	f.seen = info
	if token != f.token {
		f.token = token
		f.version++
	}
	return nil
}

// current returns the token, and a number that another token changes.
func (f *tokenFile) current() (token string, version int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.looked) >= tokenLookEvery {
		f.looked = now
		_ = f.read() // the old one stays
	}
	return f.token, f.version
}

// GetRequestMetadata gives every stream the token.
func (f *tokenFile) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, _ := f.current()
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity is false: where a token may go has been decided before.
func (f *tokenFile) RequireTransportSecurity() bool { return false }
