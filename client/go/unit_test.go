// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
)

// Every language must pick the same server: the numbers are those of another implementation.
func TestRendezvousScoresAreThoseOfEveryLanguage(t *testing.T) {
	if score := rendezvousScore("10.0.0.1:7433", "default", "user_123"); score != 0xf8f499640b554129 {
		t.Errorf("%x", score)
	}
	if score := rendezvousScore("unix:/run/singleflightd.sock", "reports", "\x00\xff"); score != 0x6225ed5070bdc94f {
		t.Errorf("%x", score)
	}
	if rendezvousScore("a:1", "", "k") != rendezvousScore("a:1", "default", "k") {
		t.Error("the empty group is not the default one")
	}
}

func TestRendezvousOrdersAreThoseOfEveryLanguage(t *testing.T) {
	addresses := []string{"10.0.0.1:7433", "10.0.0.2:7433", "10.0.0.3:7433"}
	expected := [][]int{{0, 2, 1}, {2, 1, 0}, {0, 1, 2}, {1, 0, 2}, {2, 1, 0}}
	for i, order := range expected {
		key := fmt.Sprintf("user_%d", i+1)
		if got := rendezvousOrder(addresses, "", key); !slices.Equal(got, order) {
			t.Errorf("%s: %v, not %v", key, got, order)
		}
	}
	if got := rendezvousOrder([]string{"a:1", "a:1"}, "g", "k"); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("equal addresses change places: %v", got)
	}
}

func TestBackoffIsBelowABoundThatDoubles(t *testing.T) {
	b := backoff{min: 50 * time.Millisecond, max: 300 * time.Millisecond}
	for range 2 {
		for _, bound := range []time.Duration{50, 100, 200, 300, 300} {
			if wait := b.next(); wait < 0 || wait > bound*time.Millisecond {
				t.Errorf("%v is over %d ms", wait, bound)
			}
		}
		b.reset()
	}
}

func TestKeysOfAGroupStayDifferent(t *testing.T) {
	keys := []string{"", "\x00", "\x00\x00", "a", "a\x00", "\x00a"}
	seen := map[string]string{}
	for _, key := range keys {
		wire := wireKey(key)
		if other, ok := seen[wire]; ok || wire == "" {
			t.Errorf("%q and %q are both %q", key, other, wire)
		}
		seen[wire] = key
	}
	if wireKey("a\x00") != "a\x00" {
		t.Error("other languages would not find this key")
	}
}

func TestTextsForTheWireAreValidAndBounded(t *testing.T) {
	for _, text := range []string{"", "é", "\xff", strings.Repeat("a", textOnWireMax-1) + "é", strings.Repeat("\xf0\x9f\x98\x80", textOnWireMax)} {
		got := wireText(text)
		if len(got) > textOnWireMax || !utf8.ValidString(got) {
			t.Errorf("%.20q… has %d bytes", got, len(got))
		}
	}
	if wireText("a\xffb") != "a?b" {
		t.Error(wireText("a\xffb"))
	}
	long := strings.Repeat("a", textOnWireMax-1) + "é"
	if got := wireText(long); got != long[:textOnWireMax-1] {
		t.Errorf("a character is torn: %q", got[len(got)-3:])
	}
}

func TestDurationsAreRoundedUp(t *testing.T) {
	for d, want := range map[time.Duration]uint64{-1: 0, 0: 0, 1: 1, time.Millisecond: 1, 1500 * time.Microsecond: 2} {
		if got := ms(d); got != want {
			t.Errorf("%v is %d ms", d, got)
		}
	}
}

func TestStatusErrorsAreComparedByCode(t *testing.T) {
	err := fmt.Errorf("while loading: %w", &StatusError{Code: codes.Aborted, Message: "fenced"})
	if !errors.Is(err, ErrAborted) || errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if err.Error() != "while loading: singleflight: ABORTED: fenced" {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := leftByContext(ctx); !errors.Is(err, context.Canceled) ||
		errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if name := (&StatusError{Code: 99}).CodeName(); name != "CODE(99)" {
		t.Error(name)
	}
}

func TestKindsOfErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind Kind
	}{
		{nil, KindOK},
		{errors.New("x"), KindError},
		{&FunctionError{}, KindError},
		{fmt.Errorf("x: %w", &FunctionError{Kind: KindAbandoned}), KindAbandoned},
		{&FunctionError{Kind: 77}, KindError},
	} {
		if kind := kindOfError(c.err); kind != c.kind {
			t.Errorf("%v is %v", c.err, kind)
		}
	}
}

func TestCodecs(t *testing.T) {
	type row struct{ Name string }
	for name, codec := range map[string]Codec{"JSON": JSON, "Gob": Gob} {
		bytes, err := codec.Marshal(row{"Ann"})
		if err != nil {
			t.Fatal(name, err)
		}
		var got row
		if err := codec.Unmarshal(bytes, &got); err != nil || got != (row{"Ann"}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		var anything any
		if err := codec.Unmarshal(bytes, &anything); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, ok := anything.(row); ok != (name == "Gob") {
			t.Errorf("%s brings a %T", name, anything)
		}
	}
	bytes, _ := Gob.Marshal(7)
	var text string
	if err := Gob.Unmarshal(bytes, &text); err == nil {
		t.Error("a number became a text")
	}
	if _, err := Gob.Marshal(nil); err == nil {
		t.Error("gob has expressed nil")
	}
	if _, err := Raw.Marshal(7); err == nil {
		t.Error("the raw codec took a number")
	}
	if err := Raw.Unmarshal(nil, new(int)); err == nil {
		t.Error("the raw codec made a number")
	}
	if err := Raw.Unmarshal([]byte("x"), &text); err != nil || text != "x" {
		t.Error(text, err)
	}
}

// The numbers that the clients of all languages share.
func TestTheSharedNumbersAreThoseOfEveryLanguage(t *testing.T) {
	text, err := os.ReadFile("../constants.json")
	if err != nil {
		t.Fatal(err)
	}
	var shared map[string]any
	if err := json.Unmarshal(text, &shared); err != nil {
		t.Fatal(err)
	}
	ours := map[string]any{
		"address_variable":         addressVariable,
		"address_default":          addressDefault,
		"tls_ca_variable":          caVariable,
		"tls_cert_variable":        certVariable,
		"tls_key_variable":         keyVariable,
		"tls_server_name_variable": serverNameVariable,
		"token_file_variable":      tokenVariable,
		"tls_ca_system":            systemCA,
		"files_look_ms":            tokenLookEvery,
		"connect_timeout_ms":       connectTimeout,
		"answer_timeout_ms":        answerTimeout,
		"backoff_min_ms":           backoffMin,
		"backoff_max_ms":           backoffMax,
		"keepalive_time_ms":        keepaliveTime,
		"keepalive_timeout_ms":     keepaliveTimeout,
		"close_ms":                 closeTime,
		"wire_slack_ms_min":        wireSlackMin,
		"wire_slack_divisor":       wireSlackDivisor,
		"renewals_per_hold":        renewalsPerHold,
		"lost_told_within_ms":      toldWithin,
		"ask_ms_max":               askMax,
		"within_max":               withinMax,
		"result_bytes_max":         resultBytesMax,
		"message_bytes_max":        messageBytesMax,
		"chunk_bytes_max":          chunkBytesMax,
		"details_bytes_max":        detailsMax,
		"key_bytes_max":            keyBytesMax,
		"caller_bytes_max":         callerBytesMax,
		"type_encode_error":        encodeError,
		"type_limit_exceeded":      limitExceeded,
	}
	for name, number := range shared {
		if name == "about" {
			continue
		}
		mine, ok := ours[name]
		if duration, isTime := mine.(time.Duration); isTime {
			mine = duration.Milliseconds()
		}
		if whole, isNumber := number.(float64); isNumber {
			number = int64(whole)
		}
		if !ok || fmt.Sprint(mine) != fmt.Sprint(number) {
			t.Errorf("%s is %v, and %v here", name, number, mine)
		}
	}
	if len(shared) != len(ours)+1 {
		t.Errorf("%d numbers are shared, %d are looked at", len(shared)-1, len(ours))
	}
}

func TestALeaseCountsFromWhatWasReallySent(t *testing.T) {
	const second = instant(time.Second)
	h := hold{length: 3 * time.Second}
	h.begin(10 * second)
	h.renew(11 * second)
	if !h.isOver(13*second) || h.isOver(13*second-1) {
		t.Error("a renewal that is only wanted counts")
	}
	h.onRenewed(0, 0)
	if !h.isOver(14*second) || h.isOver(14*second-1) {
		t.Error("a renewal that was sent does not count")
	}
	h = hold{length: 3 * time.Second, answers: true}
	h.begin(10 * second)
	first, next := h.renew(11*second), h.renew(12*second)
	if first != 1 || next != 2 {
		t.Errorf("the ids are %d and %d", first, next)
	}
	h.onRenewed(77, 0) // never sent
	if !h.isOver(13 * second) {
		t.Error("an answer to nothing counts")
	}
	h.onRenewed(2, 0)
	h.onRenewed(1, 0)
	if !h.isOver(15*second) || h.isOver(15*second-1) {
		t.Error("the last one that was answered does not count")
	}
}

func TestJSONRefusesWhatAnAnyWouldLose(t *testing.T) {
	for text, isGood := range map[string]bool{
		"9007199254740992": true, "9007199254740993": false, "-9007199254740993": false, "0": true,
		"18446744073709551616": true, "-0": true, "1.5": true, "1e400": false,
		`{"id": 9007199254740993}`: false, `[1, [9007199254740993]]`: false, `"9007199254740993"`: true,
	} {
		var anything any
		if err := JSON.Unmarshal([]byte(text), &anything); (err == nil) != isGood {
			t.Errorf("%s: %v, %v", text, anything, err)
		}
	}
	var exact struct{ ID int64 }
	if err := JSON.Unmarshal([]byte(`{"id": 9007199254740993}`), &exact); err != nil ||
		exact.ID != 9007199254740993 {
		t.Errorf("%v, %v", exact, err)
	}
}
