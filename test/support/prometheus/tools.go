//go:build tools

// Package tools names the programs that check rules and dashboards, so that go.sum pins every one of their dependencies.
package tools

import (
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
