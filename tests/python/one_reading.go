// Reads bodies as servers in Go do, for one_reading.py: a line of JSON with the media type and the body in
// base64 in, a line of JSON with the model out, or null.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"os"
	"strings"
)

type question struct {
	Reader string
	Kind   string
	Body   []byte
}

// What Ollama and others decode into.
type request struct {
	Model string `json:"model"`
}

func whole(body []byte) (string, error) {
	var into request
	err := json.Unmarshal(body, &into)
	return into.Model, err
}

func stream(body []byte) (string, error) {
	var into request
	err := json.NewDecoder(bytes.NewReader(body)).Decode(&into)
	return into.Model, err
}

func form(kind string, body []byte) (string, error) {
	media, fields, err := mime.ParseMediaType(kind)
	if err != nil || !strings.HasPrefix(media, "multipart/") {
		return "", io.ErrUnexpectedEOF
	}
	read, err := multipart.NewReader(bytes.NewReader(body), fields["boundary"]).ReadForm(1 << 20)
	if err != nil {
		return "", err
	}
	values := read.Value["model"]
	if len(values) == 0 {
		return "", io.ErrUnexpectedEOF
	}
	// As http.Request.FormValue.
	return values[0], nil
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked question
		if err := json.Unmarshal(line, &asked); err != nil {
			panic(err)
		}
		var model string
		switch asked.Reader {
		case "whole":
			model, err = whole(asked.Body)
		case "stream":
			model, err = stream(asked.Body)
		default:
			model, err = form(asked.Kind, asked.Body)
		}
		if err != nil {
			answers.Encode(nil)
		} else {
			answers.Encode(model)
		}
	}
}
