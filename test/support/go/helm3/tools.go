//go:build tools

// Package tools names Helm 3, so that go.sum pins every one of its dependencies.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
