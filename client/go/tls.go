// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
)

// systemCA stands for the system's roots in place of a path.
const systemCA = "system"

type tlsFiles struct{ ca, cert, key, serverName string }

// tlsCredentials are TLS with what is in the files when a connection is made. While the files cannot
// be used, such as in the middle of a change, what they held before counts.
type tlsCredentials struct {
	files tlsFiles

	mu   sync.Mutex
	good *tls.Config // never changed
}

// newTLSCredentials returns nil without a CA.
func newTLSCredentials(files tlsFiles) (*tlsCredentials, error) {
	switch {
	case files == tlsFiles{}:
		return nil, nil
	case files.ca == "":
		return nil, statusErrorf(codes.InvalidArgument, "ClientOptions.TLSCA (%s) is missing: with "+
			"TLSCert, TLSKey or TLSServerName it says whom to trust; %q is the system's roots",
			caVariable, systemCA)
	case (files.cert == "") != (files.key == ""):
		return nil, statusErrorf(codes.InvalidArgument, "ClientOptions.TLSCert (%s) and "+
			"ClientOptions.TLSKey (%s) need each other", certVariable, keyVariable)
	}
	config, err := files.read()
	if err != nil {
		return nil, err
	}
	return &tlsCredentials{files: files, good: config}, nil
}

func (f tlsFiles) read() (*tls.Config, error) {
	config := &tls.Config{ServerName: f.serverName, MinVersion: tls.VersionTLS12}
	if f.ca != systemCA {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, statusErrorf(codes.InvalidArgument, "ClientOptions.TLSCA: %v", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, statusErrorf(codes.InvalidArgument,
				"ClientOptions.TLSCA: %s holds no certificate in PEM form", f.ca)
		}
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, statusErrorf(codes.InvalidArgument,
				"ClientOptions.TLSCert and TLSKey, %s and %s: %v", f.cert, f.key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (c *tlsCredentials) current() credentials.TransportCredentials {
	config, err := c.files.read()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.good = config
	}
	return credentials.NewTLS(c.good)
}

func (c *tlsCredentials) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (
	net.Conn, credentials.AuthInfo, error) {
	return c.current().ClientHandshake(ctx, authority, conn)
}

func (c *tlsCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.current().ServerHandshake(conn)
}

func (c *tlsCredentials) Info() credentials.ProtocolInfo {
	return credentials.NewTLS(&tls.Config{ServerName: c.files.serverName}).Info()
}

func (c *tlsCredentials) Clone() credentials.TransportCredentials {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &tlsCredentials{files: c.files, good: c.good}
}

// OverrideServerName is deprecated by gRPC, and still a part of its interface.
func (c *tlsCredentials) OverrideServerName(name string) error {
	c.files.serverName = name
	return nil
}
