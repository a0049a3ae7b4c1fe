//go:build tools

// Package tools names the controller that ours is compared with, so that go.sum pins every one of its dependencies.
package tools

import _ "github.com/argoproj/argo-rollouts/cmd/rollouts-controller"
