package config

import (
	"errors"
	"fmt"

	"countersign/internal/name/convention"
)

// Names configures what secrets may be called.
type Names struct {
	// Convention is what the name of a secret that is created has to be like, such
	// as /{environment}/{service}/{secret-type}/{secret-name}. Default: any name.
	Convention string `yaml:"convention"`
	// Values are what placeholders of it may be. Default: anything.
	Values map[string][]string `yaml:"values"`
}

// Parse returns the convention, nil for none.
func (n Names) Parse() (*convention.Convention, error) {
	if n.Convention == "" {
		if len(n.Values) > 0 {
			return nil, errors.New("names.values: they are of placeholders of names.convention, which is missing")
		}
		return nil, nil
	}
	c, err := convention.Parse(n.Convention, n.Values)
	if err != nil {
		return nil, fmt.Errorf("names: %w", err)
	}
	return c, nil
}
