package authn

// FlushUsed stores when keys were last used.
var FlushUsed = (*Service).flushUsed
