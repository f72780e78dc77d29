/** TLS: for who connects to the one port, for what this node dials, and for the database. */
import { Type } from 'typebox'
import { group, milliseconds } from './kinds.ts'

const file = (description: string) => Type.Optional(Type.String({ minLength: 1, description }))
const clientAuthentication = (description: string) => Type.Enum(['none', 'required'], { default: 'none', description })

export const tlsSchema = group(
  'TLS on the port of this node, and between nodes. Files are PEM, and taken anew when they change.',
  {
    certificateFile: file(
      'The certificate of this node, followed by those between it and its authority. With it the port speaks HTTPS and WSS alone.',
    ),
    keyFile: file('The private key of `tls.certificateFile`, without a password.'),
    caFile: file(
      'The authorities whose certificates are believed of clients, and of peers unless `tls.peers.caFile` is set.',
    ),
    minVersion: Type.Enum(['TLSv1.2', 'TLSv1.3'], {
      default: 'TLSv1.2',
      description: 'The oldest version of TLS that clients may speak.',
    }),
    clientAuthentication: clientAuthentication(
      'Whether clients must show a certificate of `tls.caFile`; `/healthz` and `/readyz` answer without one, and of nodes `tls.peers.clientAuthentication` says it.',
    ),
    reloadMs: milliseconds(
      5000,
      100,
      { description: 'How often the files are looked at for a change; SIGHUP has them looked at once more.' },
      3_600_000,
    ),
    peers: group('Between nodes, whose addresses are `https` then.', {
      caFile: file(
        "The authorities whose certificates are believed of other nodes; `tls.caFile`, or else Node's own (`NODE_EXTRA_CA_CERTS` adds to those), unless set.",
      ),
      certificateFile: file('The certificate that this node shows when it dials another node; none unless set.'),
      keyFile: file('The private key of `tls.peers.certificateFile`, without a password.'),
      clientAuthentication: clientAuthentication(
        'Whether nodes that dial this one must show a certificate, besides proving that they know `cluster.secret`. Set `tls.peers.certificateFile` on all of them first.',
      ),
    }),
  },
)

export const storeTlsSchema = group('TLS to the database, for a MySQL store.', {
  mode: Type.Enum(['off', 'encrypted', 'verified'], {
    derived: '`verified` with any of the files below, else `off`',
    description:
      '`encrypted` takes any certificate, `verified` only one for the host in `store.url`, of an authority that `store.tls.caFile` or Node trusts.',
  }),
  caFile: file("The authorities whose certificates are believed of the database; Node's own unless set."),
  certificateFile: file('The certificate that this node shows to the database; none unless set.'),
  keyFile: file('The private key of `store.tls.certificateFile`, without a password.'),
})
