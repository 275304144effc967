package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// schema is a JSON schema of these keywords, or one of the schemas true and false.
type schema struct {
	never bool

	Type                 types              `json:"type"`
	Enum                 []any              `json:"enum"`
	Const                *any               `json:"const"`
	Required             []string           `json:"required"`
	Properties           map[string]*schema `json:"properties"`
	AdditionalProperties *schema            `json:"additionalProperties"`
	Items                *schema            `json:"items"`
	MinItems             *int               `json:"minItems"`
	MaxItems             *int               `json:"maxItems"`
	Minimum              *float64           `json:"minimum"`
	Maximum              *float64           `json:"maximum"`
	ExclusiveMinimum     *float64           `json:"exclusiveMinimum"`
	ExclusiveMaximum     *float64           `json:"exclusiveMaximum"`
	MinLength            *int               `json:"minLength"`
	MaxLength            *int               `json:"maxLength"`
	Pattern              *pattern           `json:"pattern"`

	// These say something to people only.
	Schema      any `json:"$schema"`
	ID          any `json:"$id"`
	Comment     any `json:"$comment"`
	Title       any `json:"title"`
	Description any `json:"description"`
	Default     any `json:"default"`
	Examples    any `json:"examples"`
}

// parse reads a schema and refuses keywords that schema doesn't have.
func parse(b []byte) (*schema, error) {
	s := &schema{}
	return s, s.UnmarshalJSON(b)
}

// UnmarshalJSON is parse for the schemas inside of a schema.
func (s *schema) UnmarshalJSON(b []byte) error {
	switch string(bytes.TrimSpace(b)) {
	case "true":
		return nil
	case "false":
		s.never = true
		return nil
	case "null":
		return errors.New("null is no schema")
	}
	type plain schema // without this method
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode((*plain)(s)); err != nil {
		return err
	}
	if len(s.Required) > 64 {
		return errors.New("more than 64 members are required")
	}
	return nil
}

// allows says whether a value of JSON's type t, with "integer" for numbers without a
// fraction, may be there.
func (s *schema) allows(t string) bool {
	return len(s.Type) == 0 || slices.Contains(s.Type, t) || t == "integer" && slices.Contains(s.Type, "number")
}

type types []string

func (t *types) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = types{one}
	} else if err := json.Unmarshal(b, (*[]string)(t)); err != nil {
		return err
	}
	for _, name := range *t {
		if !slices.Contains([]string{"null", "boolean", "object", "array", "number", "string", "integer"}, name) {
			return fmt.Errorf("type %q", name)
		}
	}
	return nil
}

type pattern struct{ *regexp.Regexp }

func (p *pattern) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	var err error
	p.Regexp, err = regexp.Compile(text)
	return err
}
