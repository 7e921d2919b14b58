// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"net"
	"strconv"
	"strings"
)

const unixPrefix = "unix:"

// problemOfAddress says what is wrong with "host:port" or "unix:/path"; "": nothing.
func problemOfAddress(address string) string {
	if path, isUnix := strings.CutPrefix(address, unixPrefix); isUnix {
		if strings.Trim(path, "/") == "" || strings.ContainsAny(path, "\x00%?#") {
			return "has no path that can be"
		}
		return ""
	}
	if address == "" {
		return "is empty"
	}
	if strings.Contains(address, "://") || strings.Contains(address, ":///") {
		return "has a scheme"
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "has no port, or too many colons"
	}
	if host == "" || strings.ContainsAny(host, " \t\r\n\x00/,;@?#\\") {
		return "has no host that can be"
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 || port[0] == '+' {
		return "has no port from 1 to 65535"
	}
	return ""
}

// targetOf is an address in the way of gRPC, for which "dns:7433" would be something else.
func targetOf(address string) string {
	if strings.HasPrefix(address, unixPrefix) {
		return address
	}
	return "dns:///" + address
}
