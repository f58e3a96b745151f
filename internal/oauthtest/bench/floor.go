package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// claims are about as long as those of an access token.
var claims = []byte(`{"iss":"http://127.0.0.1:40000","sub":"client-000","aud":"http://127.0.0.1:40000","exp":1795369613,"iat":1795369013,"jti":"bfWU9yxv18BqHEKZefqipw","client_id":"client-000","scope":"read write","epochs":[1,1]}`)

// serveFloor answers as little as a token endpoint can.
func serveFloor(o options) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	want := sha256.Sum256([]byte(secretOf(0)))
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"` + strings.Repeat("k", 43) + `","typ":"at+jwt"}`))
	server := &http.Server{Addr: o.floor, ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ParseForm() != nil || sha256.Sum256([]byte(r.PostForm.Get("client_secret"))) != want {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		signed := header + "." + base64.RawURLEncoding.EncodeToString(claims)
		digest := sha256.Sum256([]byte(signed))
		first, second, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		signature := make([]byte, 64)
		first.FillBytes(signature[:32])
		second.FillBytes(signature[32:])
		body := `{"access_token":"` + signed + "." + base64.RawURLEncoding.EncodeToString(signature) + `","token_type":"Bearer","expires_in":600,"scope":"read write"}` + "\n"
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write([]byte(body))
	})}
	return server.ListenAndServe()
}
