-- Health of an R2RDeployment, from its kstatus conditions.
local function health(status, message)
  return { status = status, message = message }
end

local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local function isTrue(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end
local ready = conditions["Ready"]

if ready == nil then
  return health("Progressing", "the operator has not looked at it yet")
end
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "the operator has not looked at the present spec yet")
end
if isTrue("Stalled") then
  return health("Degraded", conditions["Stalled"].message)
end
-- by spec.suspend, or a changed spec that spec.rollout.strategy None keeps waiting
local reconciling = conditions["Reconciling"]
if obj.spec.suspend == true or (reconciling ~= nil and reconciling.reason == "RolloutPaused") then
  return health("Suspended", ready.message)
end
if isTrue("Reconciling") then
  return health("Progressing", conditions["Reconciling"].message)
end
if ready.status == "True" then
  return health("Healthy", ready.message)
end
-- What the spec asks for was there once; it does not answer now.
return health("Degraded", ready.message)
