package policy

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

	shapeNotifyTarget   = "arn:aws:countersign::ACCOUNT:notify-target/NAME"
	shapeMount          = "arn:aws:countersign::ACCOUNT:mount/PATH"
	shapeToken          = "arn:aws:countersign::ACCOUNT:token"
	shapeTokenRole      = "arn:aws:countersign::ACCOUNT:token-role/NAME"
	shapeLoginMethod    = "arn:aws:countersign::ACCOUNT:login-method/MOUNT"
	shapeLoginRole      = "arn:aws:countersign::ACCOUNT:login-role/MOUNT/NAME"
	shapePasswordPolicy = "arn:aws:countersign::ACCOUNT:password-policy/NAME"
	shapeTransitKey     = "arn:aws:kms:REGION:ACCOUNT:key/NAME"
	shapeAuditDevice    = "arn:aws:countersign::ACCOUNT:audit-device/NAME"
	shapeIdentityToken  = "arn:aws:countersign::ACCOUNT:identity-token/NAME"
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
	RestoreSecret:          {"RestoreSecret", "secretsmanager:RestoreSecret", "update MOUNT/restore-secret/NAME", AccessWrite, KindSecret, shapeSecret},
	MoveLabel:              {"MoveLabel", "secretsmanager:UpdateSecretVersionStage", "update MOUNT/labels/NAME", AccessWrite, KindSecret, shapeSecret},
	TagSecret:              {"TagSecret", "secretsmanager:TagResource", "update MOUNT/tags/NAME", AccessTagging, KindSecret, shapeSecret},
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
	RandomPassword:         {"RandomPassword", "secretsmanager:GetRandomPassword", "read sys/tools/random-password", AccessRead, KindNone, shapeNone},

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
	ReadChange:      {"ReadChange", "countersign:ReadChange", "read sys/changes/read/NAME", AccessRead, KindSecret, shapeSecret},
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
	RefreshSession:         {"RefreshSession", "countersign:RefreshSession", "update sys/sessions/renew-self", AccessWrite, KindPrincipal, shapeUser},
	Logout:                 {"Logout", "countersign:Logout", "update sys/sessions/revoke-self", AccessWrite, KindPrincipal, shapeUser},
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
	LinkUser:               {"LinkUser", "countersign:LinkUser", "update identity/entity-alias/NAME", AccessPermissions, KindPrincipal, shapeUser},
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

	// Secrets, as versions and keys of them.
	ReadKeys:        {"ReadKeys", "countersign:ReadSecretKeys", "read MOUNT/subkeys/NAME", AccessRead, KindSecret, shapeSecret},
	PatchValue:      {"PatchValue", "countersign:PatchSecretValue", "patch MOUNT/data/NAME", AccessWrite, KindSecret, shapeSecret},
	DeleteCurrent:   {"DeleteCurrent", "countersign:DeleteCurrentSecretVersion", "delete MOUNT/data/NAME", AccessWrite, KindSecret, shapeSecret},
	DeleteVersion:   {"DeleteVersion", "countersign:DeleteSecretVersion", "update MOUNT/delete/NAME", AccessWrite, KindSecret, shapeSecret},
	UndeleteVersion: {"UndeleteVersion", "countersign:UndeleteSecretVersion", "update MOUNT/undelete/NAME", AccessWrite, KindSecret, shapeSecret},
	DestroyVersion:  {"DestroyVersion", "countersign:DestroySecretVersion", "update MOUNT/destroy/NAME", AccessWrite, KindSecret, shapeSecret},

	VerifyValue: {"VerifyValue", "countersign:VerifySecretValue", "update MOUNT/verify-value/NAME", AccessRead, KindSecret, shapeSecret},

	// Rotation. Its steps are the server's own, so that nobody needs permission for
	// one; each has its record.
	ListRotations:  {"ListRotations", "countersign:ListRotations", "list sys/rotations", AccessList, KindNone, shapeNone},
	RotationCreate: {"RotationCreate", "countersign:RotationCreate", "update MOUNT/rotation/create/NAME", AccessWrite, KindSecret, shapeSecret},
	RotationSet:    {"RotationSet", "countersign:RotationSet", "update MOUNT/rotation/set/NAME", AccessWrite, KindSecret, shapeSecret},
	RotationTest:   {"RotationTest", "countersign:RotationTest", "update MOUNT/rotation/test/NAME", AccessWrite, KindSecret, shapeSecret},
	RotationFinish: {"RotationFinish", "countersign:RotationFinish", "update MOUNT/rotation/finish/NAME", AccessWrite, KindSecret, shapeSecret},
	RotationUndo:   {"RotationUndo", "countersign:RotationUndo", "update MOUNT/rotation/undo/NAME", AccessWrite, KindSecret, shapeSecret},
	RotationRetire: {"RotationRetire", "countersign:RotationRetire", "update MOUNT/rotation/retire/NAME", AccessWrite, KindSecret, shapeSecret},

	// Mounts: where secrets engines and login methods are reached.
	ListMounts:     {"ListMounts", "countersign:ListMounts", "read sys/mounts", AccessList, KindNone, shapeNone},
	PutMount:       {"PutMount", "countersign:PutMount", "update sys/mounts/NAME", AccessPermissions, KindMount, shapeMount},
	DeleteMount:    {"DeleteMount", "countersign:DeleteMount", "delete sys/mounts/NAME", AccessPermissions, KindMount, shapeMount},
	GetMountConfig: {"GetMountConfig", "countersign:GetMountConfig", "read MOUNT/config", AccessRead, KindMount, shapeMount},
	PutMountConfig: {"PutMountConfig", "countersign:PutMountConfig", "update MOUNT/config", AccessWrite, KindMount, shapeMount},

	// Tokens.
	CreateToken:       {"CreateToken", "countersign:CreateToken", "update auth/token/create", AccessPermissions, KindToken, shapeToken},
	CreateRoleToken:   {"CreateRoleToken", "countersign:CreateRoleToken", "update auth/token/create/NAME", AccessPermissions, KindTokenRole, shapeTokenRole},
	CreateOrphanToken: {"CreateOrphanToken", "countersign:CreateOrphanToken", "update auth/token/create-orphan", AccessPermissions, KindToken, shapeToken},
	CreateAnyToken:    {"CreateAnyToken", "countersign:CreateAnyToken", "sudo auth/token/create", AccessPermissions, KindToken, shapeToken},
	LookupToken:       {"LookupToken", "countersign:LookupToken", "update auth/token/lookup", AccessRead, KindToken, shapeToken},
	LookupAccessor:    {"LookupAccessor", "countersign:LookupTokenAccessor", "update auth/token/lookup-accessor", AccessRead, KindToken, shapeToken},
	RenewToken:        {"RenewToken", "countersign:RenewToken", "update auth/token/renew", AccessWrite, KindToken, shapeToken},
	RenewAccessor:     {"RenewAccessor", "countersign:RenewTokenAccessor", "update auth/token/renew-accessor", AccessWrite, KindToken, shapeToken},
	RevokeToken:       {"RevokeToken", "countersign:RevokeToken", "update auth/token/revoke", AccessWrite, KindToken, shapeToken},
	RevokeAccessor:    {"RevokeAccessor", "countersign:RevokeTokenAccessor", "update auth/token/revoke-accessor", AccessWrite, KindToken, shapeToken},
	RevokeOrphan:      {"RevokeOrphan", "countersign:RevokeTokenAlone", "update auth/token/revoke-orphan", AccessWrite, KindToken, shapeToken},
	ListAccessors:     {"ListAccessors", "countersign:ListTokenAccessors", "list auth/token/accessors", AccessList, KindToken, shapeToken},
	TidyTokens:        {"TidyTokens", "countersign:TidyTokens", "update auth/token/tidy", AccessWrite, KindToken, shapeToken},
	PutTokenRole:      {"PutTokenRole", "countersign:PutTokenRole", "update auth/token/roles/NAME", AccessPermissions, KindTokenRole, shapeTokenRole},
	GetTokenRole:      {"GetTokenRole", "countersign:GetTokenRole", "read auth/token/roles/NAME", AccessRead, KindTokenRole, shapeTokenRole},
	ListTokenRoles:    {"ListTokenRoles", "countersign:ListTokenRoles", "list auth/token/roles", AccessList, KindNone, shapeNone},
	DeleteTokenRole:   {"DeleteTokenRole", "countersign:DeleteTokenRole", "delete auth/token/roles/NAME", AccessPermissions, KindTokenRole, shapeTokenRole},
	LookupOwnToken:    {"LookupOwnToken", "countersign:LookupOwnToken", "read auth/token/lookup-self", AccessRead, KindPrincipal, shapeUser},
	RenewOwnToken:     {"RenewOwnToken", "countersign:RenewOwnToken", "update auth/token/renew-self", AccessWrite, KindPrincipal, shapeUser},
	RevokeOwnToken:    {"RevokeOwnToken", "countersign:RevokeOwnToken", "update auth/token/revoke-self", AccessWrite, KindPrincipal, shapeUser},
	OwnCapabilities:   {"OwnCapabilities", "countersign:GetOwnCapabilities", "update sys/capabilities-self", AccessRead, KindPrincipal, shapeUser},
	ReadCubbyhole:     {"ReadCubbyhole", "countersign:ReadCubbyhole", "read cubbyhole/NAME", AccessRead, KindPrincipal, shapeUser},
	ListCubbyhole:     {"ListCubbyhole", "countersign:ListCubbyhole", "list cubbyhole/NAME", AccessList, KindPrincipal, shapeUser},
	WriteCubbyhole:    {"WriteCubbyhole", "countersign:WriteCubbyhole", "update cubbyhole/NAME", AccessWrite, KindPrincipal, shapeUser},
	DeleteCubbyhole:   {"DeleteCubbyhole", "countersign:DeleteCubbyhole", "delete cubbyhole/NAME", AccessWrite, KindPrincipal, shapeUser},
	WrapResponse:      {"WrapResponse", "countersign:WrapResponse", "update sys/wrapping/wrap", AccessWrite, KindPrincipal, shapeUser},
	Unwrap:            {"Unwrap", "countersign:UnwrapResponse", "update sys/wrapping/unwrap", AccessWrite, KindPrincipal, shapeUser},
	LookupWrapping:    {"LookupWrapping", "countersign:LookupWrapping", "update sys/wrapping/lookup", AccessRead, KindPrincipal, shapeUser},
	Rewrap:            {"Rewrap", "countersign:RewrapResponse", "update sys/wrapping/rewrap", AccessWrite, KindPrincipal, shapeUser},

	// Login methods: their configuration, and the roles that logins take.
	GetLoginConfig:  {"GetLoginConfig", "countersign:GetLoginConfig", "read auth/MOUNT/config", AccessRead, KindLoginMethod, shapeLoginMethod},
	PutLoginConfig:  {"PutLoginConfig", "countersign:PutLoginConfig", "update auth/MOUNT/config", AccessPermissions, KindLoginMethod, shapeLoginMethod},
	PutLoginRole:    {"PutLoginRole", "countersign:PutLoginRole", "update auth/MOUNT/role/NAME", AccessPermissions, KindLoginRole, shapeLoginRole},
	GetLoginRole:    {"GetLoginRole", "countersign:GetLoginRole", "read auth/MOUNT/role/NAME", AccessRead, KindLoginRole, shapeLoginRole},
	ListLoginRoles:  {"ListLoginRoles", "countersign:ListLoginRoles", "list auth/MOUNT/role", AccessList, KindLoginMethod, shapeLoginMethod},
	DeleteLoginRole: {"DeleteLoginRole", "countersign:DeleteLoginRole", "delete auth/MOUNT/role/NAME", AccessPermissions, KindLoginRole, shapeLoginRole},
	GetRoleID:       {"GetRoleID", "countersign:GetLoginRoleID", "read auth/MOUNT/role/NAME/role-id", AccessRead, KindLoginRole, shapeLoginRole},
	PutRoleID:       {"PutRoleID", "countersign:PutLoginRoleID", "update auth/MOUNT/role/NAME/role-id", AccessPermissions, KindLoginRole, shapeLoginRole},
	CreateSecretID:  {"CreateSecretID", "countersign:CreateLoginSecret", "update auth/MOUNT/role/NAME/secret-id", AccessWrite, KindLoginRole, shapeLoginRole},
	PutSecretID:     {"PutSecretID", "countersign:PutLoginSecret", "update auth/MOUNT/role/NAME/custom-secret-id", AccessWrite, KindLoginRole, shapeLoginRole},
	ListSecretIDs:   {"ListSecretIDs", "countersign:ListLoginSecrets", "list auth/MOUNT/role/NAME/secret-id", AccessList, KindLoginRole, shapeLoginRole},
	LookupSecretID:  {"LookupSecretID", "countersign:LookupLoginSecret", "update auth/MOUNT/role/NAME/secret-id/lookup", AccessRead, KindLoginRole, shapeLoginRole},
	DestroySecretID: {"DestroySecretID", "countersign:DestroyLoginSecret", "update auth/MOUNT/role/NAME/secret-id/destroy", AccessWrite, KindLoginRole, shapeLoginRole},
	TidySecretIDs:   {"TidySecretIDs", "countersign:TidyLoginSecrets", "update auth/MOUNT/tidy/secret-id", AccessWrite, KindLoginMethod, shapeLoginMethod},

	// Policies about passwords.
	PutPasswordPolicy:    {"PutPasswordPolicy", "countersign:PutPasswordPolicy", "update sys/policies/password/NAME", AccessWrite, KindPasswordPolicy, shapePasswordPolicy},
	GetPasswordPolicy:    {"GetPasswordPolicy", "countersign:GetPasswordPolicy", "read sys/policies/password/NAME", AccessRead, KindPasswordPolicy, shapePasswordPolicy},
	ListPasswordPolicies: {"ListPasswordPolicies", "countersign:ListPasswordPolicies", "list sys/policies/password", AccessList, KindNone, shapeNone},
	DeletePasswordPolicy: {"DeletePasswordPolicy", "countersign:DeletePasswordPolicy", "delete sys/policies/password/NAME", AccessWrite, KindPasswordPolicy, shapePasswordPolicy},
	GeneratePassword:     {"GeneratePassword", "countersign:GeneratePassword", "read sys/policies/password/NAME/generate", AccessRead, KindPasswordPolicy, shapePasswordPolicy},

	// Keys that encrypt and sign for applications.
	CreateTransitKey:   {"CreateTransitKey", "kms:CreateKey", "update MOUNT/keys/NAME", AccessWrite, KindTransitKey, shapeTransitKey},
	ReadTransitKey:     {"ReadTransitKey", "kms:DescribeKey", "read MOUNT/keys/NAME", AccessRead, KindTransitKey, shapeTransitKey},
	ListTransitKeys:    {"ListTransitKeys", "kms:ListKeys", "list MOUNT/keys", AccessList, KindNone, shapeNone},
	ConfigTransitKey:   {"ConfigTransitKey", "kms:UpdateKeyConfig", "update MOUNT/keys/NAME/config", AccessPermissions, KindTransitKey, shapeTransitKey},
	DeleteTransitKey:   {"DeleteTransitKey", "kms:ScheduleKeyDeletion", "delete MOUNT/keys/NAME", AccessWrite, KindTransitKey, shapeTransitKey},
	RotateTransitKey:   {"RotateTransitKey", "kms:RotateKeyOnDemand", "update MOUNT/keys/NAME/rotate", AccessWrite, KindTransitKey, shapeTransitKey},
	TrimTransitKey:     {"TrimTransitKey", "kms:TrimKeyMaterial", "update MOUNT/keys/NAME/trim", AccessWrite, KindTransitKey, shapeTransitKey},
	ImportTransitKey:   {"ImportTransitKey", "kms:ImportKeyMaterial", "update MOUNT/keys/NAME/import", AccessWrite, KindTransitKey, shapeTransitKey},
	ExportTransitKey:   {"ExportTransitKey", "kms:ExportKeyMaterial", "read MOUNT/export/NAME", AccessPermissions, KindTransitKey, shapeTransitKey},
	BackupTransitKey:   {"BackupTransitKey", "kms:BackupKey", "read MOUNT/backup/NAME", AccessPermissions, KindTransitKey, shapeTransitKey},
	RestoreTransitKey:  {"RestoreTransitKey", "kms:RestoreKey", "update MOUNT/restore/NAME", AccessPermissions, KindTransitKey, shapeTransitKey},
	Encrypt:            {"Encrypt", "kms:Encrypt", "update MOUNT/encrypt/NAME", AccessWrite, KindTransitKey, shapeTransitKey},
	Decrypt:            {"Decrypt", "kms:Decrypt", "update MOUNT/decrypt/NAME", AccessWrite, KindTransitKey, shapeTransitKey},
	ReEncrypt:          {"ReEncrypt", "kms:ReEncrypt", "update MOUNT/rewrap/NAME", AccessWrite, KindTransitKey, shapeTransitKey},
	GenerateDataKey:    {"GenerateDataKey", "kms:GenerateDataKey", "update MOUNT/datakey/plaintext/NAME", AccessWrite, KindTransitKey, shapeTransitKey},
	GenerateWrappedKey: {"GenerateWrappedKey", "kms:GenerateDataKeyWithoutPlaintext", "update MOUNT/datakey/wrapped/NAME", AccessWrite, KindTransitKey, shapeTransitKey},
	Sign:               {"Sign", "kms:Sign", "update MOUNT/sign/NAME", AccessWrite, KindTransitKey, shapeTransitKey},
	Verify:             {"Verify", "kms:Verify", "update MOUNT/verify/NAME", AccessWrite, KindTransitKey, shapeTransitKey},
	GenerateMAC:        {"GenerateMAC", "kms:GenerateMac", "update MOUNT/hmac/NAME", AccessWrite, KindTransitKey, shapeTransitKey},
	VerifyMAC:          {"VerifyMAC", "kms:VerifyMac", "update MOUNT/verify-hmac/NAME", AccessWrite, KindTransitKey, shapeTransitKey},
	RandomBytes:        {"RandomBytes", "kms:GenerateRandom", "update MOUNT/random", AccessWrite, KindNone, shapeNone},
	HashBytes:          {"HashBytes", "countersign:HashBytes", "update MOUNT/hash", AccessWrite, KindNone, shapeNone},
	GetWrappingKey:     {"GetWrappingKey", "kms:GetParametersForImport", "read MOUNT/wrapping_key", AccessWrite, KindNone, shapeNone},
	CreateKeyToEncrypt: {"CreateKeyToEncrypt", "countersign:CreateKeyToEncrypt", "create MOUNT/encrypt/NAME", AccessWrite, KindTransitKey, shapeTransitKey},

	// Audit devices: renderings of the audit log for other programs.
	ListAuditDevices:  {"ListAuditDevices", "countersign:ListAuditDevices", "read sys/audit", AccessList, KindNone, shapeNone},
	PutAuditDevice:    {"PutAuditDevice", "countersign:PutAuditDevice", "update sys/audit/NAME", AccessPermissions, KindAuditDevice, shapeAuditDevice},
	DeleteAuditDevice: {"DeleteAuditDevice", "countersign:DeleteAuditDevice", "delete sys/audit/NAME", AccessPermissions, KindAuditDevice, shapeAuditDevice},
	AuditHash:         {"AuditHash", "countersign:HashForAudit", "update sys/audit-hash/NAME", AccessRead, KindAuditDevice, shapeAuditDevice},

	// Tokens that tell others who somebody is.
	PutIdentityKey:          {"PutIdentityKey", "countersign:PutIdentityKey", "update identity/oidc/key/NAME", AccessPermissions, KindIdentityToken, shapeIdentityToken},
	GetIdentityKey:          {"GetIdentityKey", "countersign:GetIdentityKey", "read identity/oidc/key/NAME", AccessRead, KindIdentityToken, shapeIdentityToken},
	ListIdentityKeys:        {"ListIdentityKeys", "countersign:ListIdentityKeys", "list identity/oidc/key", AccessList, KindNone, shapeNone},
	DeleteIdentityKey:       {"DeleteIdentityKey", "countersign:DeleteIdentityKey", "delete identity/oidc/key/NAME", AccessPermissions, KindIdentityToken, shapeIdentityToken},
	RotateIdentityKey:       {"RotateIdentityKey", "countersign:RotateIdentityKey", "update identity/oidc/key/NAME/rotate", AccessWrite, KindIdentityToken, shapeIdentityToken},
	PutIdentityRole:         {"PutIdentityRole", "countersign:PutIdentityRole", "update identity/oidc/role/NAME", AccessPermissions, KindIdentityToken, shapeIdentityToken},
	GetIdentityRole:         {"GetIdentityRole", "countersign:GetIdentityRole", "read identity/oidc/role/NAME", AccessRead, KindIdentityToken, shapeIdentityToken},
	ListIdentityRoles:       {"ListIdentityRoles", "countersign:ListIdentityRoles", "list identity/oidc/role", AccessList, KindNone, shapeNone},
	DeleteIdentityRole:      {"DeleteIdentityRole", "countersign:DeleteIdentityRole", "delete identity/oidc/role/NAME", AccessPermissions, KindIdentityToken, shapeIdentityToken},
	IssueIdentityToken:      {"IssueIdentityToken", "countersign:IssueIdentityToken", "read identity/oidc/token/NAME", AccessRead, KindIdentityToken, shapeIdentityToken},
	GetIdentityTokenConfig:  {"GetIdentityTokenConfig", "countersign:GetIdentityTokenConfig", "read identity/oidc/config", AccessRead, KindAccount, shapeAccount},
	PutIdentityTokenConfig:  {"PutIdentityTokenConfig", "countersign:PutIdentityTokenConfig", "update identity/oidc/config", AccessPermissions, KindAccount, shapeAccount},
	IntrospectIdentityToken: {"IntrospectIdentityToken", "countersign:IntrospectIdentityToken", "update identity/oidc/introspect", AccessRead, KindAccount, shapeAccount},

	UpdateGroup: {"UpdateGroup", "iam:UpdateGroup", "update identity/group/name/NAME", AccessPermissions, KindGroup, shapeGroup},

	// What a secret's value has to be like.
	GetSchema:    {"GetSchema", "countersign:GetSecretSchema", "read MOUNT/schema/NAME", AccessRead, KindSecret, shapeSecret},
	PutSchema:    {"PutSchema", "countersign:PutSecretSchema", "update MOUNT/schema/NAME", AccessWrite, KindSecret, shapeSecret},
	DeleteSchema: {"DeleteSchema", "countersign:DeleteSecretSchema", "delete MOUNT/schema/NAME", AccessWrite, KindSecret, shapeSecret},

	// Which groups of a login method's are which of ours.
	LinkGroup:   {"LinkGroup", "countersign:LinkGroup", "update identity/group-alias/NAME", AccessPermissions, KindGroup, shapeGroup},
	UnlinkGroup: {"UnlinkGroup", "countersign:UnlinkGroup", "delete identity/group-alias/NAME", AccessPermissions, KindGroup, shapeGroup},
}
