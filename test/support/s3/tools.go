//go:build tools

// Package tools names the S3 server of the tests, so that go.sum pins every one of its dependencies.
package tools

import _ "github.com/versity/versitygw/cmd/versitygw"
