package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/crypto/bcrypt"

	"github.com/tideway-go/tideway/layers/memlayer"
)

// What a user writes is heard by that user's tabs in every process, and by nobody else's.
func TestNotes(t *testing.T) {
	one, two := twoSites(t)
	ann, bob := newDevice(t), newDevice(t)
	ann.login(one, "ann")
	bob.login(one, "bob")
	here, there, his := ann.open(one, "ann"), ann.open(two, "ann"), bob.open(two, "bob")
	ann.says(here, " milk ")
	ann.hears(here, `{"text":"milk"}`)
	ann.hears(there, `{"text":"milk"}`)
	ann.says(there, "")
	ann.says(there, strings.Repeat("x", maxNote+1))
	ann.says(there, "bread")
	ann.hears(here, `{"text":"bread"}`)
	bob.says(his, "marker")
	bob.hears(his, `{"text":"marker"}`)
}

// A logout ends what came with that login, in every process; a logout everywhere ends all logins of the user.
func TestLogout(t *testing.T) {
	one, two := twoSites(t)
	phone, laptop, bob := newDevice(t), newDevice(t), newDevice(t)
	phone.login(one, "ann")
	laptop.login(two, "ann")
	bob.login(two, "bob")
	his := bob.open(one, "bob")

	a, b, other := phone.open(one, "ann"), phone.open(two, "ann"), laptop.open(one, "ann")
	phone.post(two+"/logout", nil, "/login")
	phone.closed(a, "logged out")
	phone.closed(b, "logged out")
	phone.get(one+"/", http.StatusSeeOther)
	laptop.get(one+"/", http.StatusOK)
	laptop.says(other, "still here")
	laptop.hears(other, `{"text":"still here"}`)

	phone.login(one, "ann")
	c := phone.open(two, "ann")
	phone.post(one+"/logout/everywhere", nil, "/login")
	phone.closed(c, "logged out")
	laptop.closed(other, "logged out everywhere")
	phone.get(two+"/", http.StatusSeeOther)
	laptop.get(two+"/", http.StatusSeeOther)
	bob.says(his, "marker")
	bob.hears(his, `{"text":"marker"}`)
}

// The login: who gets in, and with which cookie.
func TestLogin(t *testing.T) {
	store, err := newStore("")
	if err != nil {
		t.Fatal(err)
	}
	site := startSite(t, store, memlayer.New(nil))
	d := newDevice(t)
	for _, c := range []struct{ name, password string }{
		{"ann", ""}, {"ann", "wrong"}, {"eve", password}, {"", ""}, {"ann", strings.Repeat(password, 10)}, {"ann", strings.Repeat("x", 8<<10)},
	} {
		d.post(site+"/login", url.Values{"name": {c.name}, "password": {c.password}}, "/login?wrong")
	}
	d.get(site+"/", http.StatusSeeOther)
	d.get(site+"/login", http.StatusOK)
	if _, response, err := websocket.DefaultDialer.Dial(strings.Replace(site, "http", "ws", 1)+"/ws/notes", nil); err == nil || response.StatusCode != 401 {
		t.Errorf("a socket without a login gets %v, want 401", err)
	}
	cookies := d.login(site, "ann").Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteLaxMode || cookies[0].Path != "/" {
		t.Errorf("the cookies are %v", cookies)
	}
	d.get(site+"/", http.StatusOK)
	before := cookies[0].Value
	if after := d.login(site, "ann").Cookies(); len(after) != 1 || after[0].Value == before {
		t.Errorf("another login gives %v, want another token", after)
	}
}

// A form of another site is refused, whatever cookie comes with it.
func TestForgedForm(t *testing.T) {
	store, err := newStore("")
	if err != nil {
		t.Fatal(err)
	}
	site := startSite(t, store, memlayer.New(nil))
	d := newDevice(t)
	d.login(site, "ann")
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
		r, err := http.NewRequest("POST", site+"/logout", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(name, value)
		response, err := d.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s gets %s, want 403", name, value, response.Status)
		}
	}
	d.get(site+"/", http.StatusOK)
}

// Passwords are hashed, and are no longer than the hash looks.
func TestAccounts(t *testing.T) {
	u, err := people().check("ann", password)
	if err != nil || u.Name != "ann" {
		t.Fatalf("%+v, %v", u, err)
	}
	if cost, err := bcrypt.Cost(u.passwordHash); err != nil || cost < bcrypt.DefaultCost {
		t.Errorf("cost %d, %v", cost, err)
	}
	if _, err := newAccounts(strings.Repeat("x", maxPassword+1), "ann"); err == nil {
		t.Error("a password is taken of which bcrypt would see a part")
	}
}

// Sessions in files: found until they end, and only under what is a token.
func TestFileStore(t *testing.T) {
	s, err := newFileStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	token, old := strings.Repeat("t", 43), strings.Repeat("o", 43)
	for name, expiry := range map[string]time.Time{token: time.Now().Add(time.Hour), old: time.Now().Add(-time.Second)} {
		if err := s.Commit(name, []byte("data"), expiry); err != nil {
			t.Fatal(err)
		}
	}
	if data, found, err := s.Find(token); string(data) != "data" || !found || err != nil {
		t.Errorf("%q, %t, %v", data, found, err)
	}
	for _, name := range []string{old, "../" + strings.Repeat("t", 40), "", strings.Repeat("n", 43)} {
		if _, found, err := s.Find(name); found || err != nil {
			t.Errorf("Find(%q): %t, %v", name, found, err)
		}
	}
	if all, err := s.All(); len(all) != 1 || string(all[token]) != "data" || err != nil {
		t.Errorf("All: %v, %v", all, err)
	}
	if err := s.Commit("../x", nil, time.Now()); err == nil {
		t.Error("a file is written under what is no token")
	}
	for _, name := range []string{token, token, "../x"} {
		if err := s.Delete(name); err != nil {
			t.Errorf("Delete(%q): %v", name, err)
		}
	}
	if _, found, _ := s.Find(token); found {
		t.Error("a deleted session is found")
	}
}
