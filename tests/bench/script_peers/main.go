// main.go - The rules of ../work.lua in cel-go, one thread.
//
//	go run . WORK.json SECONDS
//
// The fastest way cel-go offers: each rule is one typed expression over plain
// variables, planned once; a mindscape is an activation made beforehand, in
// which a missing value is one that no rule asks for. Results are checked
// against 'fired'. Prints one JSON line.
//
// SPDX-License-Identifier: MIT
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/interpreter"
)

type rule struct {
	WordAt   int     `json:"word_at"`
	Word     string  `json:"word"`
	NumberAt int     `json:"number_at"`
	Bound    float64 `json:"bound"`
}

type work struct {
	Paths  []string `json:"paths"`
	Rules  []rule   `json:"rules"`
	People [][]any  `json:"people"`
	Fired  [][]int  `json:"fired"`
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "cel-go:", err)
		os.Exit(1)
	}
}

func variable(at int) string { return "t" + strconv.Itoa(at) }

func isWord(at int) bool { return at%2 == 0 }

func programs(of *work) []cel.Program {
	options := []cel.EnvOption{}
	for at := 1; at <= len(of.Paths); at++ {
		kind := cel.DoubleType
		if isWord(at) {
			kind = cel.StringType
		}
		options = append(options, cel.Variable(variable(at), kind))
	}
	env, err := cel.NewEnv(options...)
	fail(err)
	made := []cel.Program{}
	for _, each := range of.Rules {
		text := fmt.Sprintf("%s == %q && %s > %f", variable(each.WordAt), each.Word,
			variable(each.NumberAt), each.Bound)
		ast, issues := env.Compile(text)
		fail(issues.Err())
		program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize))
		fail(err)
		made = append(made, program)
	}
	return made
}

func activations(of *work) []interpreter.Activation {
	made := []interpreter.Activation{}
	for _, values := range of.People {
		vars := map[string]any{}
		for i, value := range values {
			if value == nil && isWord(i+1) {
				value = ""
			} else if value == nil {
				value = -1.0
			}
			vars[variable(i+1)] = value
		}
		activation, err := interpreter.NewActivation(vars)
		fail(err)
		made = append(made, activation)
	}
	return made
}

func evaluate(rules []cel.Program, person interpreter.Activation, fired []int) []int {
	fired = fired[:0]
	for i, each := range rules {
		out, _, err := each.Eval(person)
		fail(err)
		if out.Value() == true {
			fired = append(fired, i+1)
		}
	}
	return fired
}

func main() {
	runtime.GOMAXPROCS(1)
	of := work{}
	text, err := os.ReadFile(os.Args[1])
	fail(err)
	fail(json.Unmarshal(text, &of))
	seconds, err := strconv.ParseFloat(os.Args[2], 64)
	fail(err)
	rules, people, fired := programs(&of), activations(&of), []int{}
	for i, person := range people {
		fired = evaluate(rules, person, fired)
		if fmt.Sprint(fired) != fmt.Sprint(of.Fired[i]) {
			fail(fmt.Errorf("other rules fire for mindscape %d: %v", i+1, fired))
		}
	}
	count, start := 0, time.Now()
	for time.Since(start).Seconds() < seconds {
		for i := 0; i < 50; i++ {
			fired = evaluate(rules, people[count%len(people)], fired)
			count++
		}
	}
	took := time.Since(start).Seconds()
	fmt.Printf("{\"bench\":\"script\",\"subject\":\"cel-go\",\"engine\":%q,"+
		"\"work\":\"50 rules over 200 traits\",\"per_second\":%.0f,\"cpu_us\":%.3f}\n",
		runtime.Version(), float64(count)/took, took*1e6/float64(count))
}
