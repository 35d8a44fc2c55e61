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

	KindNotifyTarget ResourceKind = "notify-target"
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
	PruneVersions
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

// Shapes of resource ARNs, with the variable parts in capitals.
const (
	shapeSecret  = "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX"
	shapeUser    = "arn:aws:iam::ACCOUNT:user/NAME"
	shapeGroup   = "arn:aws:iam::ACCOUNT:group/NAME"
	shapePolicy  = "arn:aws:iam::ACCOUNT:policy/NAME"
	shapeAccount = "arn:aws:countersign::ACCOUNT:account"
	shapeAudit   = "arn:aws:countersign::ACCOUNT:audit"
	shapeStore   = "arn:aws:countersign::ACCOUNT:store"
	shapeChange  = "arn:aws:countersign::ACCOUNT:change/ID"
	shapeProject = "arn:aws:countersign::ACCOUNT:project/NAME"
	shapeNone    = "*"

	shapeNotifyTarget = "arn:aws:countersign::ACCOUNT:notify-target/NAME"
)

var operations = [numOps]Operation{
	ReadValue:              {"ReadValue", "secretsmanager:GetSecretValue", "read MOUNT/data/NAME", AccessRead, KindSecret, shapeSecret},
	BatchReadValue:         {"BatchReadValue", "secretsmanager:BatchGetSecretValue", "read MOUNT/batch", AccessRead, KindNone, shapeNone},
	Describe:               {"Describe", "secretsmanager:DescribeSecret", "read MOUNT/metadata/NAME", AccessRead, KindSecret, shapeSecret},
	ListSecrets:            {"ListSecrets", "secretsmanager:ListSecrets", "list MOUNT/metadata/PREFIX", AccessList, KindNone, shapeNone},
	ListVersions:           {"ListVersions", "secretsmanager:ListSecretVersionIds", "list MOUNT/versions/NAME", AccessRead, KindSecret, shapeSecret},
	CreateSecret:           {"CreateSecret", "secretsmanager:CreateSecret", "create MOUNT/data/NAME", AccessWrite, KindSecret, shapeSecret},
	PutValue:               {"PutValue", "secretsmanager:PutSecretValue", "update MOUNT/data/NAME", AccessWrite, KindSecret, shapeSecret},
	UpdateSecret:           {"UpdateSecret", "secretsmanager:UpdateSecret", "update MOUNT/metadata/NAME", AccessWrite, KindSecret, shapeSecret},
	DeleteSecret:           {"DeleteSecret", "secretsmanager:DeleteSecret", "delete MOUNT/metadata/NAME", AccessWrite, KindSecret, shapeSecret},
	RestoreSecret:          {"RestoreSecret", "secretsmanager:RestoreSecret", "update MOUNT/undelete/NAME", AccessWrite, KindSecret, shapeSecret},
	MoveLabel:              {"MoveLabel", "secretsmanager:UpdateSecretVersionStage", "update MOUNT/labels/NAME", AccessWrite, KindSecret, shapeSecret},
	TagSecret:              {"TagSecret", "secretsmanager:TagResource", "patch MOUNT/metadata/NAME", AccessTagging, KindSecret, shapeSecret},
	UntagSecret:            {"UntagSecret", "secretsmanager:UntagResource", "delete MOUNT/tags/NAME", AccessTagging, KindSecret, shapeSecret},
	GetResourcePolicy:      {"GetResourcePolicy", "secretsmanager:GetResourcePolicy", "read MOUNT/policy/NAME", AccessRead, KindSecret, shapeSecret},
	PutResourcePolicy:      {"PutResourcePolicy", "secretsmanager:PutResourcePolicy", "update MOUNT/policy/NAME", AccessPermissions, KindSecret, shapeSecret},
	DeleteResourcePolicy:   {"DeleteResourcePolicy", "secretsmanager:DeleteResourcePolicy", "delete MOUNT/policy/NAME", AccessPermissions, KindSecret, shapeSecret},
	ValidateResourcePolicy: {"ValidateResourcePolicy", "secretsmanager:ValidateResourcePolicy", "update MOUNT/policy-check/NAME", AccessPermissions, KindSecret, shapeSecret},
	Rotate:                 {"Rotate", "secretsmanager:RotateSecret", "update MOUNT/rotate/NAME", AccessWrite, KindSecret, shapeSecret},
	CancelRotation:         {"CancelRotation", "secretsmanager:CancelRotateSecret", "delete MOUNT/rotate/NAME", AccessWrite, KindSecret, shapeSecret},
	Replicate:              {"Replicate", "secretsmanager:ReplicateSecretToRegions", "update MOUNT/replicas/NAME", AccessWrite, KindSecret, shapeSecret},
	RemoveReplicas:         {"RemoveReplicas", "secretsmanager:RemoveRegionsFromReplication", "delete MOUNT/replicas/NAME", AccessWrite, KindSecret, shapeSecret},
	PromoteReplica:         {"PromoteReplica", "secretsmanager:StopReplicationToReplica", "update MOUNT/promote/NAME", AccessWrite, KindSecret, shapeSecret},
	RandomPassword:         {"RandomPassword", "secretsmanager:GetRandomPassword", "read sys/policies/password/NAME/generate", AccessRead, KindNone, shapeNone},

	CreateUser:        {"CreateUser", "iam:CreateUser", "create identity/entity/name/NAME", AccessWrite, KindPrincipal, shapeUser},
	GetUser:           {"GetUser", "iam:GetUser", "read identity/entity/name/NAME", AccessRead, KindPrincipal, shapeUser},
	ListUsers:         {"ListUsers", "iam:ListUsers", "list identity/entity/name", AccessList, KindNone, shapeNone},
	UpdateUser:        {"UpdateUser", "iam:UpdateUser", "update identity/entity/name/NAME", AccessWrite, KindPrincipal, shapeUser},
	TagUser:           {"TagUser", "iam:TagUser", "update identity/entity/name/NAME/tags", AccessTagging, KindPrincipal, shapeUser},
	UntagUser:         {"UntagUser", "iam:UntagUser", "delete identity/entity/name/NAME/tags", AccessTagging, KindPrincipal, shapeUser},
	DeleteUser:        {"DeleteUser", "iam:DeleteUser", "delete identity/entity/name/NAME", AccessWrite, KindPrincipal, shapeUser},
	CreateGroup:       {"CreateGroup", "iam:CreateGroup", "create identity/group/name/NAME", AccessWrite, KindGroup, shapeGroup},
	GetGroup:          {"GetGroup", "iam:GetGroup", "read identity/group/name/NAME", AccessRead, KindGroup, shapeGroup},
	ListGroups:        {"ListGroups", "iam:ListGroups", "list identity/group/name", AccessList, KindNone, shapeNone},
	DeleteGroup:       {"DeleteGroup", "iam:DeleteGroup", "delete identity/group/name/NAME", AccessWrite, KindGroup, shapeGroup},
	AddToGroup:        {"AddToGroup", "iam:AddUserToGroup", "update identity/group/name/NAME/members", AccessWrite, KindGroup, shapeGroup},
	RemoveFromGroup:   {"RemoveFromGroup", "iam:RemoveUserFromGroup", "delete identity/group/name/NAME/members", AccessWrite, KindGroup, shapeGroup},
	CreateKey:         {"CreateKey", "iam:CreateAccessKey", "create identity/entity/name/NAME/keys", AccessWrite, KindKey, shapeUser},
	ListKeys:          {"ListKeys", "iam:ListAccessKeys", "list identity/entity/name/NAME/keys", AccessList, KindKey, shapeUser},
	UpdateKey:         {"UpdateKey", "iam:UpdateAccessKey", "update identity/entity/name/NAME/keys", AccessWrite, KindKey, shapeUser},
	RevokeKey:         {"RevokeKey", "iam:DeleteAccessKey", "delete identity/entity/name/NAME/keys", AccessWrite, KindKey, shapeUser},
	PutPolicy:         {"PutPolicy", "iam:CreatePolicy", "update sys/policies/acl/NAME", AccessPermissions, KindPolicy, shapePolicy},
	GetPolicy:         {"GetPolicy", "iam:GetPolicy", "read sys/policies/acl/NAME", AccessRead, KindPolicy, shapePolicy},
	ListPolicies:      {"ListPolicies", "iam:ListPolicies", "list sys/policies/acl", AccessList, KindNone, shapeNone},
	DeletePolicy:      {"DeletePolicy", "iam:DeletePolicy", "delete sys/policies/acl/NAME", AccessPermissions, KindPolicy, shapePolicy},
	AttachPolicy:      {"AttachPolicy", "iam:AttachUserPolicy", "update identity/entity/name/NAME/policies", AccessPermissions, KindPrincipal, shapeUser},
	DetachPolicy:      {"DetachPolicy", "iam:DetachUserPolicy", "delete identity/entity/name/NAME/policies", AccessPermissions, KindPrincipal, shapeUser},
	AttachGroupPolicy: {"AttachGroupPolicy", "iam:AttachGroupPolicy", "update identity/group/name/NAME/policies", AccessPermissions, KindGroup, shapeGroup},
	DetachGroupPolicy: {"DetachGroupPolicy", "iam:DetachGroupPolicy", "delete identity/group/name/NAME/policies", AccessPermissions, KindGroup, shapeGroup},
	ListAttached:      {"ListAttached", "iam:ListAttachedUserPolicies", "list identity/entity/name/NAME/policies", AccessList, KindPrincipal, shapeUser},
	ListGroupAttached: {"ListGroupAttached", "iam:ListAttachedGroupPolicies", "list identity/group/name/NAME/policies", AccessList, KindGroup, shapeGroup},
	TestPolicy:        {"TestPolicy", "iam:SimulatePrincipalPolicy", "update sys/capabilities-accessor", AccessRead, KindPrincipal, shapeUser},

	CreateAccount:   {"CreateAccount", "countersign:CreateAccount", "create sys/namespaces/NAME", AccessWrite, KindAccount, shapeAccount},
	ListAccounts:    {"ListAccounts", "countersign:ListAccounts", "list sys/namespaces", AccessList, KindNone, shapeNone},
	QueryAudit:      {"QueryAudit", "countersign:QueryAudit", "read sys/audit/records", AccessRead, KindAudit, shapeAudit},
	VerifyAudit:     {"VerifyAudit", "countersign:VerifyAudit", "update sys/audit/verify", AccessRead, KindAudit, shapeAudit},
	ExplainDecision: {"ExplainDecision", "countersign:ExplainDecision", "read sys/audit/decisions/ID", AccessRead, KindAudit, shapeAudit},
	Backup:          {"Backup", "countersign:Backup", "read sys/storage/raft/snapshot", AccessRead, KindStore, shapeStore},
	Status:          {"Status", "countersign:Status", "read sys/status", AccessRead, KindStore, shapeStore},
	RotateKeys:      {"RotateKeys", "countersign:RotateDataKeys", "update sys/rotate", AccessWrite, KindStore, shapeStore},
	PruneVersions:   {"PruneVersions", "countersign:PruneVersions", "update MOUNT/destroy/NAME", AccessWrite, KindSecret, shapeSecret},
	ReadChange:      {"ReadChange", "countersign:ReadChange", "read sys/changes/ID", AccessRead, KindSecret, shapeSecret},
	ListChanges:     {"ListChanges", "countersign:ListChanges", "list sys/changes", AccessList, KindNone, shapeNone},

	// A change is reviewed by permission on what it alters: the resource is that
	// of the write itself, a secret for most.
	ProposeChange:   {"ProposeChange", "countersign:ProposeChange", "update sys/changes/propose/NAME", AccessWrite, KindSecret, shapeSecret},
	ReviewChange:    {"ReviewChange", "countersign:ReviewChange", "update sys/changes/review/NAME", AccessPermissions, KindSecret, shapeSecret},
	WithdrawChange:  {"WithdrawChange", "countersign:WithdrawChange", "update sys/changes/withdraw/NAME", AccessWrite, KindSecret, shapeSecret},
	CommentChange:   {"CommentChange", "countersign:CommentChange", "update sys/changes/comment/NAME", AccessWrite, KindSecret, shapeSecret},
	Rollback:        {"Rollback", "countersign:RollbackSecret", "update MOUNT/rollback/NAME", AccessWrite, KindSecret, shapeSecret},
	GetRules:        {"GetRules", "countersign:GetProtectionRules", "read sys/protection", AccessRead, KindAccount, shapeAccount},
	PutRules:        {"PutRules", "countersign:PutProtectionRules", "update sys/protection", AccessPermissions, KindAccount, shapeAccount},
	BreakGlass:      {"BreakGlass", "countersign:BreakGlass", "update sys/break-glass", AccessPermissions, KindAccount, shapeAccount},
	CloseBreakGlass: {"CloseBreakGlass", "countersign:CloseBreakGlass", "delete sys/break-glass/ID", AccessPermissions, KindAccount, shapeAccount},
	ReadBreakGlass:  {"ReadBreakGlass", "countersign:ReadBreakGlass", "read sys/break-glass/ID", AccessRead, KindAccount, shapeAccount},
	CreateProject:   {"CreateProject", "countersign:CreateProject", "create sys/projects/NAME", AccessWrite, KindProject, shapeProject},
	GetProject:      {"GetProject", "countersign:GetProject", "read sys/projects/NAME", AccessRead, KindProject, shapeProject},
	ListProjects:    {"ListProjects", "countersign:ListProjects", "list sys/projects", AccessList, KindNone, shapeNone},
	UpdateProject:   {"UpdateProject", "countersign:UpdateProject", "update sys/projects/NAME", AccessWrite, KindProject, shapeProject},
	DeleteProject:   {"DeleteProject", "countersign:DeleteProject", "delete sys/projects/NAME", AccessWrite, KindProject, shapeProject},

	Login:                  {"Login", "countersign:Login", "update auth/userpass/login/NAME", AccessWrite, KindPrincipal, shapeUser},
	RefreshSession:         {"RefreshSession", "countersign:RefreshSession", "update auth/token/renew-self", AccessWrite, KindPrincipal, shapeUser},
	Logout:                 {"Logout", "countersign:Logout", "update auth/token/revoke-self", AccessWrite, KindPrincipal, shapeUser},
	ListSessions:           {"ListSessions", "countersign:ListSessions", "list identity/entity/name/NAME/sessions", AccessList, KindPrincipal, shapeUser},
	RevokeSession:          {"RevokeSession", "countersign:RevokeSession", "delete identity/entity/name/NAME/sessions", AccessWrite, KindPrincipal, shapeUser},
	InviteUser:             {"InviteUser", "iam:CreateLoginProfile", "create auth/userpass/users/NAME", AccessPermissions, KindPrincipal, shapeUser},
	ResetPassword:          {"ResetPassword", "iam:UpdateLoginProfile", "update auth/userpass/users/NAME", AccessPermissions, KindPrincipal, shapeUser},
	AcceptInvitation:       {"AcceptInvitation", "countersign:AcceptInvitation", "update auth/userpass/invitation/NAME", AccessWrite, KindPrincipal, shapeUser},
	ChangePassword:         {"ChangePassword", "iam:ChangePassword", "update auth/userpass/users/NAME/password", AccessWrite, KindPrincipal, shapeUser},
	EnrolTOTP:              {"EnrolTOTP", "iam:CreateVirtualMFADevice", "create identity/mfa/method/totp/NAME", AccessWrite, KindPrincipal, shapeUser},
	ConfirmTOTP:            {"ConfirmTOTP", "iam:EnableMFADevice", "update identity/mfa/method/totp/NAME", AccessWrite, KindPrincipal, shapeUser},
	DisableTOTP:            {"DisableTOTP", "iam:DeactivateMFADevice", "delete identity/mfa/method/totp/NAME", AccessPermissions, KindPrincipal, shapeUser},
	GetSignInSettings:      {"GetSignInSettings", "countersign:GetSignInSettings", "read sys/auth/userpass/tune", AccessRead, KindAccount, shapeAccount},
	PutSignInSettings:      {"PutSignInSettings", "countersign:PutSignInSettings", "update sys/auth/userpass/tune", AccessPermissions, KindAccount, shapeAccount},
	GetIdentityProvider:    {"GetIdentityProvider", "countersign:GetIdentityProvider", "read auth/oidc/config", AccessRead, KindAccount, shapeAccount},
	PutIdentityProvider:    {"PutIdentityProvider", "countersign:PutIdentityProvider", "update auth/oidc/config", AccessPermissions, KindAccount, shapeAccount},
	DeleteIdentityProvider: {"DeleteIdentityProvider", "countersign:DeleteIdentityProvider", "delete auth/oidc/config", AccessPermissions, KindAccount, shapeAccount},
	BeginOIDCLogin:         {"BeginOIDCLogin", "countersign:BeginOIDCLogin", "update auth/oidc/oidc/auth-url", AccessWrite, KindNone, shapeNone},
	LinkUser:               {"LinkUser", "countersign:LinkUser", "create identity/entity-alias/NAME", AccessPermissions, KindPrincipal, shapeUser},
	UnlinkUser:             {"UnlinkUser", "countersign:UnlinkUser", "delete identity/entity-alias/NAME", AccessPermissions, KindPrincipal, shapeUser},

	PutNotifyTarget:    {"PutNotifyTarget", "countersign:PutNotifyTarget", "update sys/notify/targets/NAME", AccessWrite, KindNotifyTarget, shapeNotifyTarget},
	DeleteNotifyTarget: {"DeleteNotifyTarget", "countersign:DeleteNotifyTarget", "delete sys/notify/targets/NAME", AccessWrite, KindNotifyTarget, shapeNotifyTarget},
	ListNotifyTargets:  {"ListNotifyTargets", "countersign:ListNotifyTargets", "list sys/notify/targets", AccessList, KindNone, shapeNone},
	TestNotifyTarget:   {"TestNotifyTarget", "countersign:TestNotifyTarget", "update sys/notify/test/NAME", AccessWrite, KindNotifyTarget, shapeNotifyTarget},
	ListDeadLetters:    {"ListDeadLetters", "countersign:ListDeadLetters", "list sys/notify/dead-letters", AccessList, KindNone, shapeNone},
	ReplayDeadLetter:   {"ReplayDeadLetter", "countersign:ReplayDeadLetter", "update sys/notify/dead-letters/ID", AccessWrite, KindAccount, shapeAccount},
	UploadSSHKey:       {"UploadSSHKey", "iam:UploadSSHPublicKey", "create identity/entity/name/NAME/ssh-keys", AccessWrite, KindPrincipal, shapeUser},
	ListSSHKeys:        {"ListSSHKeys", "iam:ListSSHPublicKeys", "list identity/entity/name/NAME/ssh-keys", AccessList, KindPrincipal, shapeUser},
	DeleteSSHKey:       {"DeleteSSHKey", "iam:DeleteSSHPublicKey", "delete identity/entity/name/NAME/ssh-keys", AccessWrite, KindPrincipal, shapeUser},
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
type opSet [2]uint64

// The set must hold every operation: this does not compile otherwise.
const _ = uint(len(opSet{})*64 - numOps)

func (s *opSet) add(o Op)      { s[o>>6] |= 1 << (o & 63) }
func (s *opSet) has(o Op) bool { return s[o>>6&1]&(1<<(o&63)) != 0 }
