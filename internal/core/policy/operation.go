package policy

import "strings"

// Access is the level of an operation, as the IAM console groups actions.
type Access string

const (
	AccessRead        Access = "read"
	AccessList        Access = "list"
	AccessWrite       Access = "write"
	AccessTagging     Access = "tagging"
	AccessPermissions Access = "permissions"
)

// ResourceKind is the kind of thing that an operation is about.
type ResourceKind string

const (
	KindSecret    ResourceKind = "secret"
	KindPrincipal ResourceKind = "principal" // users and machines
	KindGroup     ResourceKind = "group"
	KindKey       ResourceKind = "key" // access keys; the resource is the owner
	KindPolicy    ResourceKind = "policy"
	KindAccount   ResourceKind = "account"
	KindAudit     ResourceKind = "audit"
	KindStore     ResourceKind = "store"
	KindChange    ResourceKind = "change"
	KindProject   ResourceKind = "project"
	KindNone      ResourceKind = "none" // about no single thing: the resource is "*"

	KindNotifyTarget   ResourceKind = "notify-target"
	KindMount          ResourceKind = "mount"
	KindToken          ResourceKind = "token"
	KindTokenRole      ResourceKind = "token-role"
	KindLoginMethod    ResourceKind = "login-method"
	KindLoginRole      ResourceKind = "login-role"
	KindPasswordPolicy ResourceKind = "password-policy"
	KindTransitKey     ResourceKind = "transit-key"
	KindAuditDevice    ResourceKind = "audit-device"
	KindIdentityToken  ResourceKind = "identity-token"
)

// Op is one thing that can be done. The zero Op is none.
type Op uint8

// The operations. Their rows stand in the table below in the same order.
const (
	_ Op = iota

	ReadValue
	BatchReadValue
	Describe
	ListSecrets
	ListVersions
	CreateSecret
	PutValue
	UpdateSecret
	DeleteSecret
	RestoreSecret
	MoveLabel
	TagSecret
	UntagSecret
	GetResourcePolicy
	PutResourcePolicy
	DeleteResourcePolicy
	ValidateResourcePolicy
	Rotate
	CancelRotation
	Replicate
	RemoveReplicas
	PromoteReplica
	RandomPassword

	CreateUser
	GetUser
	ListUsers
	UpdateUser
	TagUser
	UntagUser
	DeleteUser
	CreateGroup
	GetGroup
	ListGroups
	DeleteGroup
	AddToGroup
	RemoveFromGroup
	CreateKey
	ListKeys
	UpdateKey
	RevokeKey
	PutPolicy
	GetPolicy
	ListPolicies
	DeletePolicy
	AttachPolicy
	DetachPolicy
	AttachGroupPolicy
	DetachGroupPolicy
	ListAttached
	ListGroupAttached
	TestPolicy

	CreateAccount
	ListAccounts
	QueryAudit
	VerifyAudit
	ExplainDecision
	Backup
	Status
	RotateKeys
	ReadChange
	ListChanges

	ProposeChange
	ReviewChange
	WithdrawChange
	CommentChange
	Rollback
	GetRules
	PutRules
	BreakGlass
	CloseBreakGlass
	ReadBreakGlass
	CreateProject
	GetProject
	ListProjects
	UpdateProject
	DeleteProject

	Login
	RefreshSession
	Logout
	ListSessions
	RevokeSession
	InviteUser
	ResetPassword
	AcceptInvitation
	ChangePassword
	EnrolTOTP
	ConfirmTOTP
	DisableTOTP
	GetSignInSettings
	PutSignInSettings
	GetIdentityProvider
	PutIdentityProvider
	DeleteIdentityProvider
	BeginOIDCLogin
	LinkUser
	UnlinkUser

	PutNotifyTarget
	DeleteNotifyTarget
	ListNotifyTargets
	TestNotifyTarget
	ListDeadLetters
	ReplayDeadLetter
	UploadSSHKey
	ListSSHKeys
	DeleteSSHKey

	ReadKeys
	PatchValue
	DeleteCurrent
	DeleteVersion
	UndeleteVersion
	DestroyVersion

	VerifyValue
	ListRotations
	RotationCreate
	RotationSet
	RotationTest
	RotationFinish
	RotationUndo
	RotationRetire

	ListMounts
	PutMount
	DeleteMount
	GetMountConfig
	PutMountConfig

	CreateToken
	CreateRoleToken
	CreateOrphanToken
	CreateAnyToken
	LookupToken
	LookupAccessor
	RenewToken
	RenewAccessor
	RevokeToken
	RevokeAccessor
	RevokeOrphan
	ListAccessors
	TidyTokens
	PutTokenRole
	GetTokenRole
	ListTokenRoles
	DeleteTokenRole
	LookupOwnToken
	RenewOwnToken
	RevokeOwnToken
	OwnCapabilities
	ReadCubbyhole
	ListCubbyhole
	WriteCubbyhole
	DeleteCubbyhole
	WrapResponse
	Unwrap
	LookupWrapping
	Rewrap

	GetLoginConfig
	PutLoginConfig
	PutLoginRole
	GetLoginRole
	ListLoginRoles
	DeleteLoginRole
	GetRoleID
	PutRoleID
	CreateSecretID
	PutSecretID
	ListSecretIDs
	LookupSecretID
	DestroySecretID
	TidySecretIDs

	PutPasswordPolicy
	GetPasswordPolicy
	ListPasswordPolicies
	DeletePasswordPolicy
	GeneratePassword

	CreateTransitKey
	ReadTransitKey
	ListTransitKeys
	ConfigTransitKey
	DeleteTransitKey
	RotateTransitKey
	TrimTransitKey
	ImportTransitKey
	ExportTransitKey
	BackupTransitKey
	RestoreTransitKey
	Encrypt
	Decrypt
	ReEncrypt
	GenerateDataKey
	GenerateWrappedKey
	Sign
	Verify
	GenerateMAC
	VerifyMAC
	RandomBytes
	HashBytes
	GetWrappingKey
	CreateKeyToEncrypt

	ListAuditDevices
	PutAuditDevice
	DeleteAuditDevice
	AuditHash

	PutIdentityKey
	GetIdentityKey
	ListIdentityKeys
	DeleteIdentityKey
	RotateIdentityKey
	PutIdentityRole
	GetIdentityRole
	ListIdentityRoles
	DeleteIdentityRole
	IssueIdentityToken
	GetIdentityTokenConfig
	PutIdentityTokenConfig
	IntrospectIdentityToken

	UpdateGroup // several things of a group at once, each of which is asked for too

	GetSchema
	PutSchema
	DeleteSchema

	LinkGroup
	UnlinkGroup

	endOfOps
)

const numOps = int(endOfOps)

// Operation is a row of the table: one operation in every dialect.
type Operation struct {
	Name     string       // canonical: in audit records and in the native API
	Action   string       // IAM dialect
	HCL      string       // Vault dialect: a capability and the shape of the path
	Access   Access       // level
	Kind     ResourceKind // what it is about
	Resource string       // shape of the ARN, or "*"
}

// Operations lists every Op, in the order of the table.
func Operations() []Op {
	ops := make([]Op, 0, numOps-1)
	for op := Op(1); op < endOfOps; op++ {
		ops = append(ops, op)
	}
	return ops
}

// Valid reports whether o is a row of the table.
func (o Op) Valid() bool { return o > 0 && o < endOfOps }

// Info returns o's row, or a zero Operation when o is not valid.
func (o Op) Info() Operation {
	if !o.Valid() {
		return Operation{}
	}
	return operations[o]
}

// String returns the canonical name, "ReadValue"; it is what audit records hold.
func (o Op) String() string { return o.Info().Name }

// Action returns the name in the IAM dialect, "secretsmanager:GetSecretValue".
func (o Op) Action() string { return o.Info().Action }

// ByName returns the operation of a canonical name. It is exact.
func ByName(name string) (Op, bool) {
	for op := Op(1); op < endOfOps; op++ {
		if operations[op].Name == name {
			return op, true
		}
	}
	return 0, false
}

// ByAction returns the operation of an action in the IAM dialect. As in IAM,
// upper and lower case are the same.
func ByAction(action string) (Op, bool) {
	for op := Op(1); op < endOfOps; op++ {
		if strings.EqualFold(operations[op].Action, action) {
			return op, true
		}
	}
	return 0, false
}

// opSet is a set of operations.
type opSet [4]uint64

// The set must hold every operation: this does not compile otherwise.
const _ = uint(len(opSet{})*64 - numOps)

func (s *opSet) add(o Op)      { s[o>>6] |= 1 << (o & 63) }
func (s *opSet) has(o Op) bool { return s[o>>6&3]&(1<<(o&63)) != 0 }
