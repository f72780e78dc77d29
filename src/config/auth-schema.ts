/** The group `auth`: how users are known, who of them is an admin, and how often one may be wrong. */
import { Type } from 'typebox'
import { count, group, milliseconds, text } from './kinds.ts'

const optionalText = (description: string) => Type.Optional(Type.String({ minLength: 1, description }))

export const authSchema = group('Who may do what.', {
  method: Type.Enum(['none', 'basic', 'jwt'], {
    default: 'none',
    description:
      'How opening a session authenticates: `none` believes the named user, for development and trusted networks; `basic` asks for a password of `auth.usersFile`; `jwt` for a token of `auth.jwt.issuer`.',
  }),
  admins: Type.Array(Type.String({ minLength: 1 }), {
    default: ['admin'],
    description: "Users who see everybody's queries and may drain nodes.",
  }),
  usersFile: optionalText(
    'With `basic`: users and the scrypt hashes of their passwords, one a line, the same on every node. `lens user add NAME` writes it; a change counts from the next sign-in on.',
  ),
  jwt: group('With `jwt`: whose tokens are believed.', {
    issuer: optionalText('The `iss` of tokens, and where `/.well-known/openid-configuration` is read: an https URL.'),
    audience: optionalText('The `aud` that tokens must be for.'),
    jwksUrl: optionalText('Where the keys are; from the configuration that the issuer publishes unless set.'),
    userClaim: text('sub', { description: 'The claim that names the user, such as `preferred_username`.' }),
    adminClaim: optionalText('The claim that makes an admin: `true`, or, with `auth.jwt.adminValues`, one of these.'),
    adminValues: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description: 'What `auth.jwt.adminClaim` must be, or hold if it is a list, such as the name of a group.',
    }),
    algorithms: Type.Array(Type.String({ pattern: '^((RS|PS|ES)(256|384|512)|EdDSA|Ed25519)$' }), {
      default: ['RS256', 'PS256', 'ES256', 'EdDSA'],
      minItems: 1,
      description: 'Signatures that are believed; asymmetric ones only.',
    }),
    clockToleranceMs: milliseconds(
      30_000,
      0,
      { description: 'How far the clocks of issuer and node may be apart.' },
      600_000,
    ),
  }),
  failuresMax: count(
    10,
    1,
    {
      description:
        'Failed sign-ins in a minute of one user from one address, in the cluster; more are refused with RATE_LIMITED, right or wrong.',
    },
    100_000,
  ),
  failuresPerAddressMax: count(100, 1, { description: 'The same of one address, whoever it says it is.' }, 1_000_000),
})
