package layers

import "fmt"

// MaxNameLength is the longest name of a channel or a group, in bytes.
const MaxNameLength = 99

const (
	channelRule = "a channel name is 1 to 99 ASCII letters, digits, '-', '_' and '.', and may have one '!', not first"
	groupRule   = "a group name is 1 to 99 ASCII letters, digits, '-', '_' and '.'"
)

// nameByte says which bytes a name may have.
var nameByte = func() (ok [256]bool) {
	for _, r := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_." {
		ok[r] = true
	}
	return ok
}()

// checkChannel holds the rule of channel names (L1).
func checkChannel(name string) error {
	bangs := 0
	for i := 0; i < len(name) && i <= MaxNameLength; i++ {
		switch c := name[i]; {
		case nameByte[c]:
		case c == '!' && i > 0 && bangs == 0:
			bangs++
		default:
			return invalidName(name, channelRule)
		}
	}
	if len(name) == 0 || len(name) > MaxNameLength {
		return invalidName(name, channelRule)
	}
	return nil
}

// CheckGroup returns an error that states the rule of group names (L1) if name breaks it. Every method of a Layer
// checks by itself; this is for whoever takes names at set-up.
func CheckGroup(name string) error { return checkGroup(name) }

// checkGroup holds the rule of group names (L1).
func checkGroup(name string) error {
	for i := 0; i < len(name) && i <= MaxNameLength; i++ {
		if !nameByte[name[i]] {
			return invalidName(name, groupRule)
		}
	}
	if len(name) == 0 || len(name) > MaxNameLength {
		return invalidName(name, groupRule)
	}
	return nil
}

func invalidName(name, rule string) error {
	return fmt.Errorf("%w %s: %s", ErrInvalidName, quote(name), rule)
}

// isQueue says that a valid channel name is a queue's, which belongs to no process (L11).
func isQueue(channel string) bool {
	for i := 0; i < len(channel); i++ {
		if channel[i] == '!' {
			return false
		}
	}
	return true
}
