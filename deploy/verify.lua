-- Asks the console whether a request is to be let through, with the headers of that request.

local passed_on = { "authorization", "x-api-key", "x-api-key-id", "x-api-key-secret", "user-agent" }

core.register_action("verify", { "http-req" }, function(txn)
    local sent, headers = txn.http:req_get_headers(), {}
    for _, name in ipairs(passed_on) do
        if sent[name] then
            -- A header given twice is to be seen twice.
            local values, at = {}, 0
            while sent[name][at] do
                values[at + 1] = sent[name][at]
                at = at + 1
            end
            headers[name] = values
        end
    end
    headers["x-forwarded-for"] = { txn.f:src() }

    local answer = core.httpclient():get({ url = txn:get_var("txn.verify_url"), headers = headers, timeout = 5000 })
    local function header(name)
        local values = answer.headers and answer.headers[name]
        return values and values[0] or ""
    end
    txn:set_var("txn.verify_status", answer.status or 0)
    txn:set_var("txn.verify_challenge", header("www-authenticate"))
    txn:set_var("txn.verify_retry_after", header("retry-after"))
    txn:set_var("txn.key_id", header("x-key-id"))
    txn:set_var("txn.key_name", header("x-key-name"))
    txn:set_var("txn.account_id", header("x-account-id"))
    txn:set_var("txn.key_expires_at", header("x-key-expires-at"))
end)
