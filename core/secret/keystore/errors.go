package keystore

import "errors"

var (
	// ErrNoHeader is returned by Open when the store holds no keystore yet.
	ErrNoHeader = errors.New("no keystore has been created here")
	// ErrExists is returned by Create when there is a keystore already.
	ErrExists = errors.New("there is a keystore already")
	// ErrHalfCopy is returned for a store into which another one was not copied to the end: copy it again.
	ErrHalfCopy = errors.New("this is half a copy of a keystore")
	// ErrWrongPassphrase is returned by Open when a passphrase opens no slot.
	ErrWrongPassphrase = errors.New("wrong passphrase")
	// ErrWrongKey is returned by Open when a key file, credential or keyring entry opens no slot.
	ErrWrongKey = errors.New("key does not open the keystore")
	// ErrNoSlot is returned when the keystore has no slot of the kind, or with the id, that was asked for.
	ErrNoSlot = errors.New("keystore has no such key slot")
	// ErrLastSlot is returned by RemoveSlot for the only slot there is.
	ErrLastSlot = errors.New("the last key slot cannot be removed")
	// ErrTooManySlots is returned by AddSlot above MaxSlots.
	ErrTooManySlots = errors.New("keystore has no room for another key slot")
	// ErrTampered is returned when the header was changed by somebody without the data key. It comes with
	// store.ErrCorrupt.
	ErrTampered = errors.New("keystore header was altered by somebody without its key")
	// ErrRekeyed is returned when another process has given the keystore a new data key, or has put another keystore in
	// its place: open it again.
	ErrRekeyed = errors.New("keystore has a new data key, open it again")
	// ErrBusy is returned when another process gives the keystore a new data key for longer than we wait: try again.
	ErrBusy = errors.New("keystore is being given a new data key")
	// ErrSlotsUncovered is returned by Rekey when a slot would be lost for want of its credential.
	ErrSlotsUncovered = errors.New("some key slots would be lost")
	// ErrUnfit is returned for a passphrase, key file or credential that cannot be used: empty, too short, too long,
	// readable by others (then it is fs.ErrPermission as well).
	ErrUnfit = errors.New("cannot be used as a key")
	// ErrKeyringLocked is returned for a keyring slot by a quiet credential when only the person could open the keyring.
	ErrKeyringLocked = errors.New("the keyring is locked")
	// ErrChoice is returned by FindCredential when more than one way was chosen.
	ErrChoice = errors.New("choose one of passphrase file, passphrase command and key file")
)
