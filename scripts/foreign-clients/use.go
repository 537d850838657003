// go-routeros behind the runner's line protocol (see use-npm.mjs). The runner builds it next to the library.
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/go-routeros/routeros/v3"
)

type request struct {
	Command    string            `json:"command"`
	Attributes map[string]string `json:"attributes"`
	Queries    map[string]string `json:"queries"`
}

func say(key string, value any) {
	line, _ := json.Marshal(map[string]any{key: value})
	fmt.Printf("@%s\n", line)
}

func dial() (*routeros.Client, error) {
	address := os.Getenv("HOST") + ":" + os.Getenv("PORT")
	user, password := os.Getenv("LOGIN_USER"), os.Getenv("LOGIN_PASSWORD")
	if os.Getenv("MODE") == "tls" {
		return routeros.DialTLS(address, user, password, &tls.Config{InsecureSkipVerify: true})
	}
	return routeros.Dial(address, user, password)
}

func main() {
	client, err := dial()
	if err != nil {
		say("refused", err.Error())
		return
	}
	say("ready", true)
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var wanted request
		_ = json.Unmarshal(line, &wanted)
		words := []string{wanted.Command}
		for key, value := range wanted.Attributes {
			words = append(words, "="+key+"="+value)
		}
		for key, value := range wanted.Queries {
			words = append(words, "?"+key+"="+value)
		}
		reply, err := client.RunArgs(words)
		var device *routeros.DeviceError
		if errors.As(err, &device) {
			say("trap", device.Sentence.Map["message"])
			continue
		}
		if err != nil {
			say("trap", err.Error())
			continue
		}
		rows := []map[string]string{}
		for _, sentence := range append(reply.Re, reply.Done) {
			if len(sentence.Map) > 0 {
				rows = append(rows, sentence.Map)
			}
		}
		say("rows", rows)
	}
}
