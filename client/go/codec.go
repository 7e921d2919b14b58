// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"strings"
)

// Codec turns values into bytes, and back for every caller: each has a value of its own, and the one
// that led sees what the others see. (Only a [Group] hands the very value to the callers of the
// leader's process, as x/sync does.) It may be called by many goroutines at a time.
type Codec interface {
	Marshal(value any) ([]byte, error)
	// Unmarshal fills in what `into`, a pointer that is not nil, points at.
	Unmarshal(data []byte, into any) error
}

// JSON is the default codec, and the one that every language's client knows. Through it an `any`
// becomes what encoding/json makes of it: a struct comes out of [Group.Do] as a map[string]any and
// every number as a float64. [Do] decodes into its own type and has no such trouble.
var JSON Codec = jsonCodec{}

// Gob is encoding/gob, for callers that are all written in Go. An `any` keeps its type if that was
// told to gob.Register (those that are built in are known). It cannot express nil.
var Gob Codec = gobCodec{}

// Raw takes []byte and string as they are, and nothing else.
var Raw Codec = rawCodec{}

type jsonCodec struct{}

func (jsonCodec) Marshal(value any) ([]byte, error) {
	data, err := json.Marshal(value)
	if err == nil && string(data) == "{}" && hidesEverything(reflect.TypeOf(value)) {
		return nil, fmt.Errorf("JSON would lose all of a %T: it has no exported field", value)
	}
	return data, err
}

// hidesEverything: a struct with fields, of which JSON sees none, such as most errors.
func hidesEverything(t reflect.Type) bool {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct || t.NumField() == 0 {
		return false
	}
	for i := range t.NumField() {
		if field := t.Field(i); field.IsExported() || field.Anonymous {
			return false
		}
	}
	return true
}

func (jsonCodec) Unmarshal(data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return err
	}
	switch into.(type) {
	case *any, *map[string]any, *[]any:
		return checkNumbers(data)
	}
	return nil
}

// checkNumbers refuses whole numbers that a float64, which an `any` gets, does not hold as they are.
func checkNumbers(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		number, ok := token.(json.Number)
		if !ok || strings.ContainsAny(number.String(), ".eE") {
			continue
		}
		float, err := number.Float64()
		if err != nil || new(big.Float).SetFloat64(float).Text('f', 0) != number.String() {
			return fmt.Errorf("the number %s is no float64, which an any would get: decode into a type "+
				"of its own", number)
		}
	}
}

type gobCodec struct{}

func (gobCodec) Marshal(value any) ([]byte, error) {
	if value == nil {
		return nil, errors.New("gob cannot express nil")
	}
	gob.Register(value)
	var buffer bytes.Buffer
	// By a pointer to the interface, so that the name of the type travels with it.
	err := gob.NewEncoder(&buffer).Encode(&value)
	return buffer.Bytes(), err
}

func (gobCodec) Unmarshal(data []byte, into any) error {
	target := reflect.ValueOf(into).Elem()
	if target.Kind() != reflect.Interface {
		gob.Register(target.Interface())
	}
	var value any
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&value); err != nil {
		return err
	}
	got := reflect.ValueOf(value)
	if !got.Type().AssignableTo(target.Type()) {
		return fmt.Errorf("gob brought a %s where a %s is wanted", got.Type(), target.Type())
	}
	target.Set(got)
	return nil
}

type rawCodec struct{}

func (rawCodec) Marshal(value any) ([]byte, error) {
	switch value := value.(type) {
	case nil:
		return nil, nil
	case []byte:
		return value, nil
	case string:
		return []byte(value), nil
	}
	return nil, fmt.Errorf("the raw codec takes []byte and string, not %T", value)
}

func (rawCodec) Unmarshal(data []byte, into any) error {
	switch into := into.(type) {
	case *[]byte:
		*into = bytes.Clone(data)
	case *string:
		*into = string(data)
	case *any:
		*into = bytes.Clone(data)
	default:
		return fmt.Errorf("the raw codec fills in []byte, string and any, not %T", into)
	}
	return nil
}
