package notices

import (
	"errors"
	"time"
)

var (
	// ErrOptions is returned by New for options that do not go together.
	ErrOptions = errors.New("notices are not configured")
	// ErrRecord is returned for a record that cannot be read: damaged, or of a newer version.
	ErrRecord = errors.New("record of notices cannot be read")
	// ErrUnknown is returned for a code, notification, calendar or mytoken that is not there, or is somebody else's.
	ErrUnknown = errors.New("not known here")
	// ErrMailRequired is returned where mail is to be sent to a person without an address that was confirmed.
	ErrMailRequired = errors.New("there is no mail address that was confirmed")
	// ErrAddress is returned for a text that is no mail address that can be used here.
	ErrAddress = errors.New("not a mail address that can be used")
	// ErrClass is returned for a class of notifications that there is not.
	ErrClass = errors.New("no class of notifications")
	// ErrTooMany is returned when a person has as many notifications, calendars or mytokens in one as are allowed.
	ErrTooMany = errors.New("there are too many of them")
	// ErrTaken is returned for the name of a calendar that the person has already.
	ErrTaken = errors.New("there is a calendar of that name")
	// ErrName is returned for a name or comment that is empty, too long or not one line of text.
	ErrName = errors.New("not a name")
	// ErrNoEnd is returned for a mytoken that does not expire, where its end is all that matters.
	ErrNoEnd = errors.New("the mytoken does not expire")
	// ErrNoMail is returned where mail is needed and no mail server is configured.
	ErrNoMail = errors.New("this server sends no mail")
)

// LaterError is returned where somebody has had as many mails as they may have for now.
type LaterError struct{ After time.Duration }

func (e *LaterError) Error() string { return "too many mails for now" }
