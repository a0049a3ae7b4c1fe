export * from '../api/step-identity.ts';
