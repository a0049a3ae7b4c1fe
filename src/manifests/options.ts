/** What the operator's installation decides, as opposed to the resource. */
export interface RenderOptions {
  /** Image of routers and of CPU engines. */
  readonly routerImage: string;
  /** Image of SGLang engines. @default {@link defaultSglangImage} */
  readonly sglangImage?: string;
  /** Namespace the operator runs in: its pods may reach the routers' admin port. */
  readonly operatorNamespace: string;
}

/** Stock SGLang at the release this version was tested with. */
export const defaultSglangImage = 'lmsysorg/sglang:v0.5.23';

/** Labels of the operator's own pods, by which the routers' NetworkPolicy lets them in. */
export const operatorLabels = { 'app.kubernetes.io/name': 'r2r-operator' } as const;
