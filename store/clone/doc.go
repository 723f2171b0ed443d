// Package clone copies all records of one store to another one, of the same or of another engine.
//
// It works below the sealing: keys stay hashed and values sealed, so no key is needed, and what opens the one opens the
// other. A target has to be empty, or to hold the half of an earlier copy, which is cleared first. A mark is the first
// thing written and gives way to the last record of the source at the very end, after both have been compared record by
// record: a target is whole or says that it is not.
//
// Leases are not copied: nobody may work on either store meanwhile. Changes made to the source during the copy are
// found out by the comparison; those made after it are lost. It is no backup of a store in use: boltstore's Snapshot is.
//
// Not a public API.
package clone
