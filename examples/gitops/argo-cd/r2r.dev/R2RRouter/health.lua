-- Health of an R2RRouter, from its kstatus conditions.
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
if status.phase == "Suspended" then
  return health("Suspended", ready.message)
end
if isTrue("Reconciling") then
  return health("Progressing", conditions["Reconciling"].message)
end
if ready.status == "True" then
  return health("Healthy", ready.message)
end
if conditions["GatePassed"] ~= nil and conditions["GatePassed"].status == "True" then
  -- A bundle is there that a person has to name in rollout.bundle.
  return health("Suspended", ready.message)
end
return health("Degraded", ready.message)
