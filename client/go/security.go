// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"cmp"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	caVariable         = "SINGLEFLIGHT_TLS_CA"
	certVariable       = "SINGLEFLIGHT_TLS_CERT"
	keyVariable        = "SINGLEFLIGHT_TLS_KEY"
	serverNameVariable = "SINGLEFLIGHT_TLS_SERVER_NAME"
	tokenVariable      = "SINGLEFLIGHT_TOKEN_FILE"
)

// security is how connections are secured, and how this client says who it is.
type security struct {
	given credentials.TransportCredentials // by the program, for every address; nil: none
	tls   *tlsCredentials                  // for all addresses but those of unix sockets; nil: none
	token *tokenFile                       // nil: none
}

func readSecurity(given *ClientOptions, addresses []string) (security, error) {
	s := security{given: given.Credentials}
	if s.given == nil {
		files := tlsFiles{
			ca:         cmp.Or(given.TLSCA, os.Getenv(caVariable)),
			cert:       cmp.Or(given.TLSCert, os.Getenv(certVariable)),
			key:        cmp.Or(given.TLSKey, os.Getenv(keyVariable)),
			serverName: cmp.Or(given.TLSServerName, os.Getenv(serverNameVariable)),
		}
		var err error
		if s.tls, err = newTLSCredentials(files); err != nil {
			return s, err
		}
	}
	path := cmp.Or(given.TokenFile, os.Getenv(tokenVariable))
	if path == "" {
		return s, nil
	}
	for _, address := range addresses {
		if !s.isSecret(address) {
			return s, statusErrorf(codes.InvalidArgument, "ClientOptions.TokenFile: the token would "+
				"travel in plain text to %s: set ClientOptions.TLSCA (%s), too", address, caVariable)
		}
	}
	var err error
	s.token, err = newTokenFile(path)
	return s, err
}

// isSecret: what is sent there is read by nobody on the way.
func (s *security) isSecret(address string) bool {
	return s.credentialsFor(address).Info().SecurityProtocol != insecure.NewCredentials().Info().
		SecurityProtocol || isLocal(address)
}

// isLocal: a unix socket or the loopback.
func isLocal(address string) bool {
	if strings.HasPrefix(address, unixPrefix) {
		return true
	}
	host, _, _ := net.SplitHostPort(address) // it has been looked at
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func (s *security) credentialsFor(address string) credentials.TransportCredentials {
	switch {
	case s.given != nil:
		return s.given
	case s.tls != nil && !strings.HasPrefix(address, unixPrefix):
		return s.tls
	}
	return insecure.NewCredentials()
}

func (s *security) dialOptions(address string) []grpc.DialOption {
	options := []grpc.DialOption{grpc.WithTransportCredentials(s.credentialsFor(address))}
	if s.token != nil {
		options = append(options, grpc.WithPerRPCCredentials(s.token))
	}
	return options
}

// isDenied: the server knows who asks, or does not, and says no. That is an answer.
func isDenied(code codes.Code) bool {
	return code == codes.Unauthenticated || code == codes.PermissionDenied
}
