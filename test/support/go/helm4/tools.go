//go:build tools

// Package tools names Helm 4, so that go.sum pins every one of its dependencies.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
