package login

import (
	"net/http"
	"strconv"
	"time"

	"github.com/hufu-auth/hufu/internal/store"
)

// A deviceFactor says that a user passed a second factor in a browser and wants it to
// stand in for that for a while. It lies in the sealed device cookie.
type deviceFactor struct {
	Mark string `json:"m"` // of the user and the factor, see factorMark
	At   int64  `json:"t"` // Unix seconds
}

// factorMark names what a device stands in for. Another password, another second factor
// and another device each make it another one, so it is void after any change.
func factorMark(deviceID string, userID string, epoch int64, factor string) string {
	return hash("second factor " + deviceID + " " + userID + " " + strconv.FormatInt(epoch, 10) + " " + factor)[:22]
}

// standIn notes that the browser stands in for a user's second factor from now on.
func (d *device) standIn(user *store.User, factor string, now time.Time) {
	all := []deviceFactor{{factorMark(d.ID, user.ID, user.Epoch, factor), now.Unix()}}
	for _, f := range d.Factors {
		if f.Mark != all[0].Mark && len(all) < maxDeviceUsers {
			all = append(all, f)
		}
	}
	d.Factors = all
}

// StandsIn reports whether the browser stands in for one of a user's second factors: it
// was used here, not too long ago, by somebody who wanted that. It is no second factor,
// and acr and amr do not say so.
func (s *Sessions) StandsIn(r *http.Request, userID string, epoch int64, factors []store.SecondFactor) bool {
	d, now := s.device(r), s.Now()
	for _, known := range d.Factors {
		at := time.Unix(known.At, 0)
		if now.Sub(at) >= s.Remembered || at.Sub(now) > clockSkew {
			continue
		}
		for _, f := range factors {
			if at.After(f.StandsInAfter.Add(clockSkew)) && known.Mark == factorMark(d.ID, userID, epoch, f.ID) {
				return true
			}
		}
	}
	return false
}
