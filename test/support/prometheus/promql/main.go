// Command promql reads a JSON list of PromQL expressions and prints, for each, what it selects and by which labels it groups.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/prometheus/prometheus/promql/parser"
)

type selector struct {
	Metric string   `json:"metric"`
	Labels []string `json:"labels"`
}

type parsed struct {
	Error     string     `json:"error,omitempty"`
	Selectors []selector `json:"selectors"`
	// Labels of by, on and group_left.
	Grouping []string `json:"grouping"`
}

func main() {
	var expressions []string
	if err := json.NewDecoder(os.Stdin).Decode(&expressions); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	all := make([]parsed, 0, len(expressions))
	for _, text := range expressions {
		all = append(all, read(text))
	}
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		os.Exit(1)
	}
}

func read(text string) parsed {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return parsed{Error: err.Error()}
	}
	result := parsed{Selectors: []selector{}, Grouping: []string{}}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			found := selector{Metric: n.Name, Labels: []string{}}
			for _, matcher := range n.LabelMatchers {
				if matcher.Name != "__name__" {
					found.Labels = append(found.Labels, matcher.Name)
				}
			}
			result.Selectors = append(result.Selectors, found)
		case *parser.AggregateExpr:
			result.Grouping = append(result.Grouping, n.Grouping...)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				result.Grouping = append(result.Grouping, n.VectorMatching.MatchingLabels...)
				result.Grouping = append(result.Grouping, n.VectorMatching.Include...)
			}
		}
		return nil
	})
	return result
}
