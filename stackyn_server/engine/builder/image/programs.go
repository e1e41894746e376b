//go:build programs

// Package builder names the programs of the builder image, so that go.mod and go.sum hold exactly what they need.
package builder

import (
	_ "github.com/moby/buildkit/cmd/buildctl"
	_ "github.com/moby/buildkit/cmd/buildkitd"
	_ "github.com/rootless-containers/rootlesskit/v2/cmd/rootlesskit"
)
