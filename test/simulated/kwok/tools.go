//go:build tools

// Package tools names the program that plays the nodes, so that go.sum pins every one of its dependencies.
package tools

import _ "sigs.k8s.io/kwok/cmd/kwok"
