// A relying party in Go, with go-oidc: verifies the tokens that it is given, one a line.
//
// Arguments: the issuer, the audience, and perhaps another issuer that tokens must have.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log"
	"os"

	oidc "github.com/coreos/go-oidc"
)

type request struct {
	Token string `json:"token"`
	Renew bool   `json:"renew"`
}

type answer struct {
	Subject string `json:"subject,omitempty"`
	Refused string `json:"refused,omitempty"`
}

// What the provider's discovery document says beside what go-oidc reads of it.
type discovery struct {
	Algorithms []string `json:"id_token_signing_alg_values_supported"`
	Keys       string   `json:"jwks_uri"`
}

func verifier(ctx context.Context, arguments []string) (*oidc.IDTokenVerifier, error) {
	provider, err := oidc.NewProvider(ctx, arguments[0])
	if err != nil {
		return nil, err
	}
	var found discovery
	if err := provider.Claims(&found); err != nil {
		return nil, err
	}
	config := &oidc.Config{ClientID: arguments[1], SupportedSigningAlgs: found.Algorithms}
	if len(arguments) > 2 {
		return oidc.NewVerifier(arguments[2], oidc.NewRemoteKeySet(ctx, found.Keys), config), nil
	}
	return provider.Verifier(config), nil
}

func main() {
	ctx := context.Background()
	current, err := verifier(ctx, os.Args[1:])
	if err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked request
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			log.Fatal(err)
		}
		var said answer
		if asked.Renew {
			if current, err = verifier(ctx, os.Args[1:]); err != nil {
				log.Fatal(err)
			}
		} else if token, err := current.Verify(ctx, asked.Token); err != nil {
			said.Refused = err.Error()
		} else {
			said.Subject = token.Subject
		}
		if err := answers.Encode(said); err != nil {
			log.Fatal(err)
		}
	}
}
